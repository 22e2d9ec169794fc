package cloudinit

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"egress.scw/webhook/api/v1alpha1"
)

// TestStatus: the status that the machine writes names what is served and refused. It
// is written when it changes and every 10 minutes, and fits whatever it contains.
func TestStatus(t *testing.T) {
	m := newSidecarMachine(t)
	m.machine.Authority = ""
	sent := func() *Status {
		t.Helper()
		m.run("egress-status")
		defer os.Remove(m.path("sent"))
		value, err := os.ReadFile(m.path("sent"))
		if os.IsNotExist(err) {
			return nil
		}
		status, err := ParseStatus(value)
		if err != nil {
			t.Fatalf("%v: %s", err, value)
		}
		return status
	}
	tenant := sidecarTenant("client-a", 3129)
	m.serve(tenant)
	value := m.read("/run/egress/value")
	status := sent()
	if status == nil || status.Squid != "6.13" || status.Served != Digest([]byte(value)) || status.Revisions["client-a"] != tenant.Revision() || status.Refused != "" ||
		time.Since(status.Since) > time.Minute || time.Since(status.Time) > time.Minute || !status.Boot.Equal(time.Unix(1795001234, 0)) || !strings.HasPrefix(m.read(sidecarCertificate), status.Certificate) {
		t.Errorf("%+v", status)
	}
	if call := m.calls(); !strings.Contains(strings.Join(call, "\n"), "--local-port 1-1023 --max-time 5 --request PATCH") ||
		!strings.Contains(strings.Join(call, "\n"), "http://169.254.42.42/user_data/egress-status") {
		t.Errorf("it is written with %q", call)
	}
	if sent() != nil {
		t.Error("it is written again, without a change")
	}
	for moment, age := range map[string]time.Duration{"after 10 minutes": 11 * time.Minute, "after the clock was set back": -time.Hour} {
		then := time.Now().Add(-age)
		if err := os.Chtimes(m.path("/run/egress/status"), then, then); err != nil {
			t.Fatal(err)
		}
		if sent() == nil {
			t.Errorf("it is not written %s", moment)
		}
		if sent() != nil {
			t.Errorf("it is written twice %s", moment)
		}
	}

	m.write("/run/egress/value", "another")
	m.write("/run/egress/refused", "cb2db14f2c2af1f3ffe5b7b7d3e0b3b1a8e4 10") // of another value
	if status := sent(); status.Served != "" || status.Refused != "" {
		t.Errorf("before the value is decided on: %+v", status)
	}
	sum := Digest([]byte("another"))
	m.write("/run/egress/refused", sum+"  - 10")
	if status := sent(); status.Refused != sum || status.Reason != "it has a fault" {
		t.Errorf("refused: %+v", status)
	}

	m.serve(tenant)
	m.write("connected", "0 0 10.0.0.1:3129 10.0.0.2:40000\n0 0 127.0.0.3:3129 127.0.0.1:3129\n0 0 10.0.0.1:443 10.0.0.2:3129\n0 0 [::1]:31290 [::1]:3129\n")
	if status := sent(); status.Connections != nil {
		t.Errorf("connections are counted: %+v", status)
	}
	m.drain()
	if status := sent(); status.Served == "" || status.Connections == nil || *status.Connections != 2 {
		t.Errorf("drained: %+v", status)
	}
	if sent() != nil {
		t.Error("it is written again, without a change of the number")
	}
	m.write("connected", "")
	if status := sent(); status == nil || status.Connections == nil || *status.Connections != 0 {
		t.Errorf("without connections: %+v", status)
	}

	var many []v1alpha1.Tenant
	for i := range int32(63) {
		many = append(many, sidecarTenant(fmt.Sprintf("%s-%02d", strings.Repeat("t", 60), i), 3129+i))
	}
	m.serve(many...)
	if status := sent(); status.Revisions != nil || status.Served == "" {
		t.Errorf("of 63 tenants with long names: %+v", status)
	}
}

// TestStatusIsNotNeeded: a failure to write the status is reported once, and tried
// again.
func TestStatusIsNotNeeded(t *testing.T) {
	m := newSidecarMachine(t)
	m.machine.Authority = ""
	m.write("silent", "")
	m.serve()
	for _, want := range []string{"<4>egress-status: cannot write the status into the user data: no response\n", ""} {
		if output := m.run("egress-status"); output != want {
			t.Errorf("it prints %q, want %q", output, want)
		}
	}
	if err := os.Remove(m.path("silent")); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(m.path("sent"))
	m.run("egress-status")
	if _, err := os.Stat(m.path("sent")); err != nil {
		t.Error(err)
	}
}

// TestStatusWithoutSquid: the status is written although Squid is not installed.
func TestStatusWithoutSquid(t *testing.T) {
	m := newSidecarMachine(t)
	m.machine.Authority = ""
	m.serve(sidecarTenant("client-a", 3129))
	if err := os.Remove(m.path("/bin/squid")); err != nil {
		t.Fatal(err)
	}
	command := m.command("egress-status")
	command.Env = append(command.Env, "PATH="+m.path("/bin")+":/usr/bin:/bin") // Debian's squid is in /usr/sbin
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	status, err := ParseStatus([]byte(m.read("sent")))
	if err != nil || status.Squid != "" || status.Served == "" {
		t.Errorf("%+v, %v", status, err)
	}
}

func TestParseStatusRefuses(t *testing.T) {
	certificate := strings.ReplaceAll(newTestAuthority(t).pem, "\n", `\n`)
	for name, test := range map[string]struct{ value, want string }{
		"too large":        {strings.Repeat(" ", MaxStatus+1), "more than 2048 bytes"},
		"not JSON":         {"SSH keys", "cannot be parsed"},
		"no certificate":   {`{"time":"2026-11-29T00:00:00Z"}`, ""},
		"two certificates": {`{"certificate":"` + certificate + certificate + `"}`, "exactly one certificate"},
		"a key":            {`{"certificate":"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}`, "exactly one certificate"},
		"a wrong one":      {`{"certificate":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}`, "the certificate in the status"},
		"no key":           {`{"hostKeys":["ssh-ed25519 AAAA"]}`, "not a public key of SSH"},
		"a key with more":  {`{"hostKeys":["` + hostKey + `\n@cert-authority * ` + hostKey + `"]}`, "not a public key of SSH"},
		"connections":      {`{"connections":0}`, ""},
		"below 0":          {`{"connections":-1}`, "negative number of connections"},
		"host keys":        {`{"hostKeys":["` + hostKey + `"]}`, ""},
		"right":            {`{"certificate":"` + certificate + `","later":1}`, ""},
	} {
		_, err := ParseStatus([]byte(test.value))
		if message := fmt.Sprint(err); test.want == "" && err != nil || !strings.Contains(message, test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// hostKey is a public key, for which there is no private one.
const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

// TestStatusOfAllMachines: a machine without sidecars writes its status too, with the
// keys by which SSH knows it.
func TestStatusOfAllMachines(t *testing.T) {
	for _, ssh := range []bool{true, false} {
		m := newSidecarMachine(t)
		m.machine.Identity, m.machine.Authority, m.machine.SSH = IdentityPort, "", ssh
		m.machineRoot = newMachineRoot(t, m.machine)
		m.imitate()
		m.write("/etc/ssh/ssh_host_ed25519_key.pub", hostKey+" root@egress-proxy\n")
		m.serve(sidecarTenant("client-a", 3129))
		m.run("egress-status")
		status, err := ParseStatus([]byte(m.read("sent")))
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if ssh {
			want = []string{hostKey}
		}
		if status.Certificate != "" || status.Served == "" || len(status.Revisions) != 1 || !slices.Equal(status.HostKeys, want) {
			t.Errorf("with SSH: %v: %+v", ssh, status)
		}
	}
}
