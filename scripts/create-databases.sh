#!/bin/sh
# Creates the two databases of docker-compose.yml, each with its own owner. PostgreSQL's image runs this once,
# when its volume is empty, and sets POSTGRES_USER (postgres) and POSTGRES_PASSWORD.
set -eu

for name in label_studio dsal; do
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    --set name="$name" --set password="$POSTGRES_PASSWORD" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name" ENCODING 'UTF8' TEMPLATE template0;
SQL
done
