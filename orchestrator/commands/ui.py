"""`orch ui`: MLflow's own server on the right store, for this machine only unless told otherwise."""

import os
import socket
import sys

from orchestrator.errors import InputError
from orchestrator.store.base import Store
from orchestrator.store.names import VERB_TAG, WHOLE_RUN
from orchestrator.store.opening import open_store
from orchestrator.store.pages import VIEW_TAG, view_link
from orchestrator.store.place import database, store_exists, store_folder, tracking_uri


def serve(host: str, port: int) -> None:
    """Replace this process by MLflow's server; returns only by raising."""
    uri = tracking_uri()
    file = database(uri)
    if file is None:
        raise InputError(f"MLFLOW_TRACKING_URI is {uri}: that is where its UI is; unset it to see ./mlruns")
    if not store_exists():
        raise InputError(f"there is no store at {uri} yet; run a recipe first: orch run recipes/rft.yaml")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port") from None
    # without its job queue MLflow starts two processes instead of nine
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    artifacts = (store_folder() / "artifacts").resolve().as_uri()
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"MLflow UI: {address}  (store: {uri}; takes some 15 s to start; Ctrl-C ends it)", flush=True)
    experiment = _newest_with_view(open_store())
    if experiment is not None:
        print(f"The newest run's models side by side: {address}/{view_link(experiment)}", flush=True)
    else:
        print("Once a run is done, `orch ui` also says where its models stand side by side", flush=True)
    if "%" in uri:  # MLflow would make an empty folder of the path's quoted form
        os.chdir(file.parent)
        uri = f"sqlite:///{file.name}"
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        uri,
        "--default-artifact-root",
        artifacts,
        "--host",
        host,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    os.execv(command[0], command)


def _newest_with_view(store: Store) -> str | None:
    """The id of the experiment with the newest run, of those that have a saved view of models."""
    with_view = {each.name: each.experiment_id for each in store.experiments() if VIEW_TAG in each.tags}
    newest = next(store.runs({VERB_TAG: WHOLE_RUN}, experiments=with_view, limit=1), None)
    return None if newest is None else with_view[newest.experiment]
