# One image for the backend (`dsal serve`) and the worker (`dsal worker`).
#
# PyTorch: with TORCH_INDEX_URL empty pip takes the build of its default index, which on x86-64 Linux brings
# the CUDA libraries (several GB; it runs on the CPU as well). Give the address of PyTorch's own index of CPU
# builds for a small image, or of a CUDA release for that release: docs/operations.md, "Which PyTorch".
#
# What changes often comes last: a change of the code makes layers of 2 MB (model) or 4 MB (ml_backend).
# To pin the base by its digest: --build-arg PYTHON_IMAGE=python@sha256:…
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm


# The packages, in an environment of their own, so that the final stage takes one folder.
FROM ${PYTHON_IMAGE} AS dependencies
ARG TORCH_INDEX_URL=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# strip, for PyTorch's libraries; the release of Debian fixes its own.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/dsal
WORKDIR /src
COPY requirements.txt requirements-openvino.txt requirements-dicom.txt ./
RUN if [ -n "$TORCH_INDEX_URL" ]; then \
      /opt/dsal/bin/pip install --no-compile --index-url "$TORCH_INDEX_URL" "$(grep '^torch==' requirements.txt)"; \
    fi
RUN /opt/dsal/bin/pip install --no-compile -r requirements.txt -r requirements-openvino.txt -r requirements-dicom.txt
COPY requirements-audit.txt scripts/image ./
RUN /opt/dsal/bin/pip uninstall --yes --requirement unused.txt \
    && /opt/dsal/bin/pip uninstall --yes pip \
    && /opt/dsal/bin/python slim.py /opt/dsal
# The list of all these packages stays in the image, for scanners.
RUN python -m venv /opt/audit \
    && /opt/audit/bin/pip install --requirement requirements-audit.txt \
    && /opt/audit/bin/cyclonedx-py environment --output-reproducible --output-file /opt/dsal/sbom.cdx.json \
      /opt/dsal/bin/python


# dsal alone, as four trees of files to be laid into that environment: weights, model, service, the rest, which has the
# digests of all files. Neither times nor compiled files depend on when this is built, so an unchanged tree is an
# unchanged layer.
FROM dependencies AS package
COPY pyproject.toml README.md LICENSE ./
COPY model ./model
COPY ml_backend ./ml_backend
RUN python -m pip --python /opt/dsal/bin/python install \
      --no-compile --no-deps --no-build-isolation --prefix /opt/package . \
    && packages=$(realpath --relative-to /opt/package /opt/package/lib/python3*/site-packages) \
    && mkdir --parents "/opt/weights/$packages/model/pretrained" "/opt/model/$packages" "/opt/service/$packages" \
    && mv "/opt/package/$packages/model/pretrained"/*/ "/opt/weights/$packages/model/pretrained" \
    && /opt/dsal/bin/python -m compileall -q --invalidation-mode unchecked-hash \
      -s /opt/package -p /opt/dsal /opt/package/lib \
    && mv "/opt/package/$packages/model" "/opt/model/$packages" \
    && mv "/opt/package/$packages/ml_backend" "/opt/service/$packages" \
    && find /opt/weights /opt/model /opt/service /opt/package -exec touch --no-dereference --date=@0 {} +
# Everything that was left out above is missed here at the latest.
RUN cp -a /opt/weights/. /opt/model/. /opt/service/. /opt/package/. /opt/dsal/ && /opt/dsal/bin/python check.py


FROM ${PYTHON_IMAGE}

# Nothing is ever built or installed in a running container.
RUN python -m pip uninstall --yes --root-user-action=ignore pip setuptools wheel \
    && groupadd --gid 10001 dsal \
    && useradd --uid 10001 --gid dsal --home-dir /data --no-create-home dsal \
    && install --directory --owner=dsal --group=dsal /data
WORKDIR /data
COPY --from=dependencies /opt/dsal /opt/dsal
COPY --from=package /opt/weights /opt/dsal
COPY --from=package /opt/model /opt/dsal
COPY --from=package /opt/service /opt/dsal
COPY --from=package /opt/package /opt/dsal

ENV PATH=/opt/dsal/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MODEL_DIR=/data \
    HOST=0.0.0.0 \
    PORT=9090

VOLUME /data
USER 10001:10001
EXPOSE 9090

# The worker replaces this check in docker-compose.yml: it serves no port.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=4)"]

CMD ["dsal", "serve"]
