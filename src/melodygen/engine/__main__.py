"""``python -m melodygen.engine``: the child of ``melodygen.engine.process.ProcessWriter``."""

from melodygen.engine.process import serve

if __name__ == "__main__":
    serve()
