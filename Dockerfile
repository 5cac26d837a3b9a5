# One image for everything that docker-compose.yml starts: orch, Ray and MLflow, in the versions of constraints.txt.
# Plain Linux builds of torch carry CUDA (several GB). For a smaller image on machines without a GPU, name the index
# that has CPU builds:  docker compose build --build-arg PIP_INDEX_URL=...
FROM python:3.11-slim

ARG PIP_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1

# /shared: where orch works, seen by all of Ray's machines; /artifacts: what MLflow keeps beside its database
RUN useradd --create-home --uid 1000 orch \
    && mkdir -p /shared/recipes /artifacts \
    && chown -R orch:orch /shared /artifacts

WORKDIR /opt/orch
COPY constraints.txt ./
# apart from the rest: it is the largest part, and changes least
RUN pip install --constraint constraints.txt torch
COPY pyproject.toml README.md ./
COPY orchestrator orchestrator
RUN pip install --constraint constraints.txt ".[server]"

USER orch
WORKDIR /shared
