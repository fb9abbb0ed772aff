#!/bin/sh
# Fetches the CRL that a certificate names, for servers that read it from a file. FOLDER/crl.pem is replaced, and RELOAD run,
# only if an authority of CA has signed it and it is not the one that is there. Run it once a minute.
#
#   fetch-crl.sh LEAF CA FOLDER RELOAD...
#
# CRL_URL says where it is in place of LEAF. Needs curl and openssl.
set -eu
leaf=$1 ca=$2 folder=$3
shift 3
url=${CRL_URL:-$(openssl x509 -in "$leaf" -noout -ext crlDistributionPoints | sed -n 's/.*URI://p')}
known=$folder/crl.etag new=$folder/crl.new
rm -f "$new"
[ -e "$known" ] || : >"$known"
curl -sSf --max-time 30 --cacert "$ca" --etag-compare "$known" --etag-save "$known.new" -o "$new" "$url"
[ -s "$new" ] || exit 0 # nothing has changed
# Its exit code says nothing about the signature.
if ! openssl crl -inform DER -in "$new" -CAfile "$ca" -noout 2>&1 | grep -q '^verify OK'; then
  echo "$url is not a CRL of an authority in $ca" >&2
  exit 1
fi
openssl crl -inform DER -in "$new" -out "$folder/crl.pem.new"
mv "$folder/crl.pem.new" "$folder/crl.pem"
[ ! -e "$known.new" ] || mv "$known.new" "$known"
rm -f "$new"
exec "$@"
