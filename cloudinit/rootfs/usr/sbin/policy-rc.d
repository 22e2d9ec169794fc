#!/bin/sh
# Scripts of packages ask here whether they may restart a service. An upgrade of Squid
# on Debian 13 would restart it with the old program, because the package of the program
# is unpacked after that of the unit. needrestart restarts it, once all packages are
# installed. 101 means forbidden.
case "$1 $2" in
  "squid restart" | "squid.service restart") exit 101 ;;
esac
