#!/bin/sh
# As root it takes over the volume and steps down. The image's Redis is built without protected mode.
set -eu

if [ "$(id -u)" = 0 ]; then
  chown redis:redis /data
  exec setpriv --reuid=redis --regid=redis --init-groups "$0" "$@"
fi
exec "$@" --protected-mode no
