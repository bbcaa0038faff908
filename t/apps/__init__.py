# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Applications that t/apps.t has as devices: app.py says what one is. ALL are in the order in which
they are tried."""
from .apache import Git, WebDav
from .cockpit import Cockpit
from .novnc import NoVnc
from .npm import NodeRed, Tus
from .pypi import Copyparty, JupyterLab
from .streams import Camera, Dashboard
from .syncthing import Syncthing
from .transmission import Transmission

ALL = (Transmission, Syncthing, Cockpit, NoVnc, Git, WebDav, Camera, Dashboard, JupyterLab,
       Copyparty, NodeRed, Tus)
