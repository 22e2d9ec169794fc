package e2e

import (
	"context"
	"fmt"
	"testing"
)

// startServers starts PostgreSQL, Redis and SSH in the internet, with their usual ports,
// until the end of the test.
func startServers(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if err := shared.StopServers(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := shared.StartServers(clientsImage, fmt.Sprintf(serverScript, shared.Plan.Echoes[0])); err != nil {
		t.Fatal(err)
	}
}

// PostgreSQL accepts connections with TLS alone from other machines.
const serverScript = `
PATH=/usr/sbin:/usr/bin:/sbin:/bin
address=%s data=/srv/postgres
as() { user=$1; shift; exec setpriv --reuid="$user" --regid="$user" --clear-groups "$@"; }

mkdir /run/sshd
/usr/sbin/sshd -D -e -o ListenAddress=$address -o UseDNS=no -o UsePAM=no &

(as redis redis-server --bind $address --protected-mode no --save "" --dir /tmp) &

install -d -m 700 -o postgres -g postgres $data
install -m 600 -o postgres -g postgres /mnt/tls.crt /mnt/tls.key /srv
(as postgres /usr/lib/postgresql/15/bin/initdb --pgdata=$data --auth=trust --no-sync --locale=C --encoding=UTF8)
echo "hostssl all all all trust" >>$data/pg_hba.conf
as postgres /usr/lib/postgresql/15/bin/postgres -D $data -c listen_addresses=$address -c unix_socket_directories=/tmp \
	-c ssl=on -c ssl_cert_file=/srv/tls.crt -c ssl_key_file=/srv/tls.key -c jit=off -c fsync=off -c dynamic_shared_memory_type=mmap
`

// deployCaptured brings up the tenant and the pods of TestCapturedPrograms, which are the
// same but for their namespace or their label.
func deployCaptured(t *testing.T) {
	t.Helper()
	deploySidecars(t, capturing)
	t.Cleanup(func() {
		if out, err := kubectl(context.WithoutCancel(t.Context()), "delete", "namespace", openNamespace, "--wait=false"); err != nil {
			t.Error(out, err)
		}
	})
	if err := shared.ApplyNamespace(t.Context(), openNamespace, ""); err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{capturing.name, openNamespace} {
		applyAuthority(t, namespace)
	}
	pods := []struct{ namespace, name, labels string }{
		{capturing.name, capturedPod, "{}"},
		{capturing.name, optedOutPod, `{egress.scw/inject: "false"}`},
		{openNamespace, openPod, "{}"},
	}
	for _, pod := range pods {
		if err := shared.Apply(t.Context(), clientsPod(pod.namespace, pod.name, pod.labels)); err != nil {
			t.Fatal(err)
		}
	}
	for _, pod := range pods {
		mustKubectl(t, "--namespace="+pod.namespace, "wait", "--for=condition=Ready", "pod/"+pod.name, "--timeout=300s")
	}
	if out := mustKubectl(t, "--namespace="+capturing.name, "get", "pod", optedOutPod, "-o", "jsonpath={.spec.initContainers}"); out != "" {
		t.Fatalf("the pod that opted out has init containers: %s", out)
	}
}
