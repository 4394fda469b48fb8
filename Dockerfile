# Ruse as an image: the service by default, any other door by its words:
#   docker run --rm -v ruse:/data ruse service keys create me --scope classify
#   docker run --read-only --tmpfs /tmp -v ruse:/data -p 8000:8000 ruse
#   docker run -i ruse model classify - < reports.jsonl

FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/ruse
COPY . .
RUN /opt/ruse/bin/python -m pip install --no-cache-dir --disable-pip-version-check .
# Machine code for the CPU that builds; entrypoint.sh says what becomes of it on another one.
# Away from the sources, so that the code is that of the installed package.
WORKDIR /opt/ruse
RUN NUMBA_CACHE_DIR=/opt/ruse/kernels bin/python -m model classify --explain "warm up" > /dev/null

FROM python:3.13-slim
COPY --from=build /opt/ruse /opt/ruse
COPY --chmod=755 entrypoint.sh /opt/ruse/bin/entrypoint.sh
RUN useradd --system --uid 10001 --no-create-home ruse && install -d -o ruse /data
USER 10001
WORKDIR /opt/ruse
ENV PATH=/opt/ruse/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RUSE_DATABASE=sqlite:////data/ruse.sqlite3 \
    RUSE_HOST=0.0.0.0 \
    RUSE_PORT=8000
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["sh", "-c", "exec python -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=4)' http://127.0.0.1:$RUSE_PORT/health/ready"]
ENTRYPOINT ["entrypoint.sh"]
CMD ["service", "serve"]
