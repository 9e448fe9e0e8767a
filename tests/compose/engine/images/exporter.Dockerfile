# Stands in for the official postgres-exporter image: same binary, path and user.
FROM stand-in/debian
RUN apt-get update && apt-get install -y --no-install-recommends prometheus-postgres-exporter && rm -rf /var/lib/apt/lists/* \
 && ln -s /usr/bin/prometheus-postgres-exporter /bin/postgres_exporter
USER nobody
EXPOSE 9187
ENTRYPOINT ["/bin/postgres_exporter"]
