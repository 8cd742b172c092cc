# Stands in for Label Studio's image: the registry's package of the same release, see scripts/local_engine.py.
ARG BASE
FROM ${BASE}
COPY requirements-label-studio.txt /
RUN python -m pip install --no-cache-dir --disable-pip-version-check --requirement /requirements-label-studio.txt \
    && useradd --uid 1001 --gid 0 --home-dir /label-studio --no-create-home label-studio \
    && install --directory --owner=1001 --group=0 /label-studio /label-studio/data
ENV HOME=/label-studio
WORKDIR /label-studio
VOLUME /label-studio/data
USER 1001
EXPOSE 8080
CMD ["label-studio"]
