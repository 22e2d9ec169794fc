package proxy

import (
	"testing"

	"egress.scw/hack/local/machine"
)

// checkPublicNIC is for a machine whose requests leave through the Public Gateway:
// root reads the metadata service through the public NIC, and reaches no other
// destination through it, even with a route. The control: without the firewall,
// root reaches another destination.
func checkPublicNIC(t *testing.T, vm *machine.VM) {
	t.Helper()
	public := in(t, vm, "sh", "-c", ". /etc/egress/nics.conf; echo $PUBLIC_NIC")
	fetch := func(url, seconds string) error {
		_, err := vm.Exec(t.Context(), "curl", "--silent", "--fail", "--max-time", seconds, "--interface", public, "--output", "/dev/null", url)
		return err
	}
	const busy = "60" // enough for a busy machine
	if err := fetch("http://"+metadataAddress+"/conf", busy); err != nil {
		t.Errorf("the metadata service: %v", err)
	}
	in(t, vm, "ip", "route", "replace", echoAddress+"/32", "via", edgeRouter, "dev", public, "onlink")
	if fetch("http://"+echoAddress+"/ip", "5") == nil {
		t.Error("requests leave by the address that is for the metadata service")
	}

	in(t, vm, "nft", "flush", "chain", "inet", "egress", "output")
	if err := fetch("http://"+echoAddress+"/ip", busy); err != nil {
		t.Errorf("without the firewall no packet leaves by the public NIC either, so the test has no control (%v)", err)
	}
	in(t, vm, "ip", "route", "del", echoAddress+"/32", "dev", public)
	in(t, vm, "systemctl", "reload", "nftables")
}
