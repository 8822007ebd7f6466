"""The explorer: a page of plain ES modules that the RPC server gives to browsers. `routes.py` serves it, `static/` is it."""
