"""The application that pyvoy loads: `gateway.serving.pyvoy_worker:app`.  Importing it builds the worker."""

import os

from gateway.serving.faces import Faces
from gateway.serving.place import worker_from

app = Faces(worker_from(os.environ))
