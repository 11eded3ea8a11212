# One image for every member: the server, etcdctl-py and the certificate maker.
FROM python:3.13-slim AS build
WORKDIR /source
RUN python -m venv /opt/miniraft
# Dependencies first: they change less often than the code.
COPY pyproject.toml README.md LICENSE ./
RUN mkdir miniraft etcdctl_py certs \
    && touch miniraft/__init__.py etcdctl_py/__init__.py certs/__init__.py \
    && /opt/miniraft/bin/pip install --no-cache-dir . \
    && /opt/miniraft/bin/pip uninstall --yes miniraft
COPY miniraft miniraft
COPY etcdctl_py etcdctl_py
COPY certs certs
RUN /opt/miniraft/bin/pip install --no-cache-dir --no-deps . \
    && /opt/miniraft/bin/python -m compileall -q /opt/miniraft

FROM python:3.13-slim
RUN groupadd --gid 10001 miniraft \
    && useradd --uid 10001 --gid miniraft --no-create-home --home-dir /var/lib/miniraft miniraft \
    && install -d -o miniraft -g miniraft -m 0700 /var/lib/miniraft \
    && install -d -o miniraft -g miniraft -m 0755 /certs
COPY --from=build /opt/miniraft /opt/miniraft
ENV PATH=/opt/miniraft/bin:$PATH PYTHONUNBUFFERED=1
USER miniraft
WORKDIR /var/lib/miniraft
EXPOSE 2379 2380
# /readyz on the plain metrics listener: a member that has no leader is not healthy.
HEALTHCHECK --interval=3s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:2381/readyz', timeout=2)"]
STOPSIGNAL SIGTERM
CMD ["miniraft", "--data-dir=/var/lib/miniraft/data", "--listen-client-urls=http://0.0.0.0:2379", \
     "--advertise-client-urls=http://127.0.0.1:2379", "--listen-metrics-urls=http://127.0.0.1:2381"]
