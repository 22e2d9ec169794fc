package proxy

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"egress.scw/cloudinit"
	"egress.scw/hack/local/machine"
	"egress.scw/webhook/api/names"
)

// TestInterruptedProxyWithSSH interrupts the power of a machine while it installs
// its packages. The machine becomes a proxy with the next boot, and then receives
// an SSH login and an upgrade.
func TestInterruptedProxyWithSSH(t *testing.T) {
	signer := newSSHKey(t)
	w := newWorld(t, imageOr(t, machine.Image{Release: machine.Trixie, Network: machine.Dhcpcd}), string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	tenants := everyKind()
	vm := w.powerOn(t, w.servers[0], cloudinit.SourceFlexibleIP, tenants)
	w.interrupt(t, vm)
	w.checkServices(t, vm)
	checkRevisions(t, tenants)
	checkMended(t, vm)
	w.checkServices(t, vm)
	checkRevisions(t, tenants)
	w.checkSSH(t, vm, signer)
	w.checkLeases(t, vm)
	w.checkUpgrade(t, vm, tenants)
}

// interrupt ends the machine as soon as the first of its packages is being
// unpacked, and boots it again until it is a proxy.
func (w *world) interrupt(t *testing.T, vm *machine.VM) {
	t.Helper()
	eventually(t, "dpkg", func() error {
		_, err := vm.Exec(t.Context(), "pgrep", "--exact", "dpkg")
		return err
	})
	if err := vm.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := vm.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wait(t, vm)
	eventually(t, "the set-up", func() error {
		_, err := vm.Exec(t.Context(), "test", "-e", "/var/lib/egress/ready")
		return err
	})
	// It says so last.
	eventually(t, "the message that the unit has finished", func() error {
		_, err := vm.Exec(t.Context(), "journalctl", "--unit=egress-setup", "--output=cat", "--grep=this machine is a proxy")
		return err // with the status 1 if there is none
	})
}

// checkMended puts the machine into the state after an interruption at a bad
// moment: Squid is unpacked, and a library that it needs is missing. The
// installation script repairs it.
func checkMended(t *testing.T, vm *machine.VM) {
	t.Helper()
	in(t, vm, "sh", "-ec", "rm /var/lib/egress/ready; dpkg --force-depends --purge libltdl7; dpkg --unpack /var/cache/apt/archives/squid-openssl_*.deb")
	if _, err := vm.Exec(t.Context(), "dpkg", "--configure", "-a"); err == nil {
		t.Error("dpkg repairs it by itself, so the test has no control")
	}
	in(t, vm, "systemctl", "start", "egress-setup.service")
}

func newSSHKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// checkSSH: only the project's key can log in to the machine, and only at its
// public address. The proxy does not forward to the SSH port.
func (w *world) checkSSH(t *testing.T, vm *machine.VM, signer ssh.Signer) {
	t.Helper()
	host, _, _, _, err := ssh.ParseAuthorizedKey([]byte(in(t, vm, "cat", "/etc/ssh/ssh_host_ed25519_key.pub")))
	if err != nil {
		t.Fatal(err)
	}
	logIn := func(from, address string, methods ...ssh.AuthMethod) (*ssh.Client, error) {
		conn, err := dial(t.Context(), from, address)
		if err != nil {
			return nil, err
		}
		_ = conn.SetDeadline(time.Now().Add(patience)) // the whole session has one connection
		client, channels, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
			User: "root", Auth: methods, HostKeyCallback: ssh.FixedHostKey(host), HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}, Timeout: time.Minute,
		})
		if err != nil {
			conn.Close()
			return nil, err
		}
		return ssh.NewClient(client, channels, requests), nil
	}

	client, err := logIn(netnsInternet, sharedAddress+":22", ssh.PublicKeys(signer))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	// cloud-init 25.1 exits with 2, because its own configuration of the network does
	// not match its own schema.
	if out, err := session.Output("id --user && { cloud-init status || [ $? = 2 ]; }"); err != nil || !strings.HasPrefix(string(out), "0\n") || !strings.Contains(string(out), "status: done") {
		t.Errorf("output of the command run by root: %q, %v", out, err)
	}
	// The purpose of port forwarding: Squid's statistics.
	statistics := http.Client{Transport: &http.Transport{DialContext: client.DialContext, DisableKeepAlives: true}, Timeout: time.Minute}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/squid-internal-mgr/info", names.StatusPort), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := statistics.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("Squid's statistics, by a forwarded port: %s", response.Status)
	}

	for name, method := range map[string]ssh.AuthMethod{
		"another key": ssh.PublicKeys(newSSHKey(t)), "a password": ssh.Password("root"), "questions": ssh.KeyboardInteractive(func(string, string, []string, []bool) ([]string, error) { return []string{""}, nil }),
	} {
		other, err := logIn(netnsInternet, sharedAddress+":22", method)
		if err == nil {
			other.Close()
			t.Errorf("%s opens it", name)
		} else if name != "another key" && !strings.Contains(err.Error(), "attempted methods [none]") {
			t.Errorf("%s is asked for: %v", name, err)
		}
	}
	if conn, err := dial(t.Context(), netnsNode, proxyAddress+":22"); err == nil {
		conn.Close()
		t.Error("SSH is open to the Private Network")
	}
	for _, address := range []string{sharedAddress, proxyAddress, "127.0.0.1"} {
		conn, err := reach(t.Context(), openPort)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := conn.ask(http.MethodConnect, address+":22", address+":22"); err != nil || got.status != http.StatusForbidden {
			t.Errorf("a tunnel to %s:22: %+v, %v, want 403", address, got, err)
		}
		conn.Close()
	}
}
