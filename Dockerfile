# The image for all services of docker-compose.yml that run orch, Ray or MLflow, with the versions in constraints.txt.
# The default Linux builds of torch include CUDA (several GB). For a smaller image on machines without a GPU, set an
# index with CPU builds:  docker compose build --build-arg PIP_INDEX_URL=...
FROM python:3.11-slim

ARG PIP_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1

# /shared: orch's working folder, shared by all Ray nodes; /artifacts: MLflow's artifact store
RUN useradd --create-home --uid 1000 orch \
    && mkdir -p /shared/recipes /artifacts \
    && chown -R orch:orch /shared /artifacts

WORKDIR /opt/orch
COPY constraints.txt ./
# a separate layer: it is the largest one and changes least often
RUN pip install --constraint constraints.txt torch
COPY pyproject.toml README.md ./
COPY orchestrator orchestrator
# orchestrator/shipped links to it
COPY recipes recipes
RUN pip install --constraint constraints.txt ".[server]"

USER orch
WORKDIR /shared
