# One image for the backend (`dsal serve`) and the worker (`dsal worker`).
#
# PyTorch: with TORCH_INDEX_URL empty pip takes the build of its default index, which on x86-64 Linux brings
# the CUDA libraries (several GB; it runs on the CPU as well). Give the address of PyTorch's own index of CPU
# builds for a small image, or of a CUDA release for that release: docs/operations.md, "Which PyTorch".

FROM python:3.11.14-slim-bookworm AS build

ARG TORCH_INDEX_URL=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

# The packages go into an environment of their own, so that the final stage takes one folder.
RUN python -m venv /opt/dsal
WORKDIR /src
COPY requirements.txt requirements-openvino.txt requirements-dicom.txt ./
RUN if [ -n "$TORCH_INDEX_URL" ]; then \
      /opt/dsal/bin/pip install --index-url "$TORCH_INDEX_URL" "$(grep '^torch==' requirements.txt)"; \
    fi
RUN /opt/dsal/bin/pip install -r requirements.txt -r requirements-openvino.txt -r requirements-dicom.txt
COPY pyproject.toml README.md LICENSE ./
COPY model ./model
COPY ml_backend ./ml_backend
RUN /opt/dsal/bin/pip install --no-deps --no-build-isolation . \
    && /opt/dsal/bin/pip uninstall --yes pip


FROM python:3.11.14-slim-bookworm

# Nothing is ever built or installed in a running container.
RUN python -m pip uninstall --yes --root-user-action=ignore pip setuptools wheel \
    && groupadd --gid 10001 dsal \
    && useradd --uid 10001 --gid dsal --home-dir /data --no-create-home dsal \
    && install --directory --owner=dsal --group=dsal /data
COPY --from=build /opt/dsal /opt/dsal

ENV PATH=/opt/dsal/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MODEL_DIR=/data \
    HOST=0.0.0.0 \
    PORT=9090

WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 9090

# The worker replaces this check in docker-compose.yml: it serves no port.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=4)"]

CMD ["dsal", "serve"]
