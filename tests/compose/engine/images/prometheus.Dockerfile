# Stands in for the official prom/prometheus image: same paths, same default arguments, user nobody.
FROM stand-in/debian
# Debian 13 has Prometheus 2; the newest suite has 3.
RUN sed -i 's/trixie/sid/' /etc/apt/sources.list && apt-get update \
 && apt-get install -y --no-install-recommends prometheus && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /prometheus && chown nobody /prometheus
USER nobody
WORKDIR /prometheus
EXPOSE 9090
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
