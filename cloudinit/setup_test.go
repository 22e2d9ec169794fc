package cloudinit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"egress.scw/webhook/api/v1alpha1"
)

// TestSetupNeedsNoPackageBeforeItHasThem runs egress-setup with programs that
// only note that they were called. What needs curl, which the image may lack,
// comes after the packages; with egress by the gateway, the way that they come
// by is made before.
func TestSetupNeedsNoPackageBeforeItHasThem(t *testing.T) {
	for egress, want := range map[v1alpha1.EgressMode][]string{
		v1alpha1.EgressFlexibleIP: {"egress-nics", "ifup ens5", "apt-get install", "systemctl start egress-net.service", "systemctl start egress-sync.service"},
		v1alpha1.EgressGateway:    {"egress-nics", "egress-net", "ifup ens5", "apt-get install", "systemctl start egress-net.service", "systemctl start egress-sync.service"},
	} {
		t.Run(string(egress), func(t *testing.T) {
			vm := validVM()
			vm.Egress = egress
			calls := runSetup(t, render(t, vm))
			var got []string
			for _, call := range calls {
				if slices.Contains(want, call) || strings.HasPrefix(call, "egress-net") {
					got = append(got, call)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("it calls, of what matters, %q, want %q; in all:\n%s", got, want, strings.Join(calls, "\n"))
			}
		})
	}
}

// runSetup returns the calls that egress-setup makes, in order.
func runSetup(t *testing.T, config cloudConfig) []string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		return name
	}
	values := write("egress.conf", contentOf(t, config, valuesFile))
	common := write("common.sh", strings.ReplaceAll(contentOf(t, config, "/usr/local/lib/egress/common.sh"), valuesFile, values))
	nics := write("nics.conf", "PUBLIC_NIC=ens2\nPRIVATE_NIC=ens5\n")
	script := strings.NewReplacer("/usr/local/lib/egress/common.sh", common, "/etc/egress/nics.conf", nics, "/lib/systemd/", dir+"/").
		Replace(contentOf(t, config, scriptFolder+"/egress-setup"))

	log := filepath.Join(dir, "calls")
	note := fmt.Sprintf("#!/bin/sh\necho \"${0##*/} $*\" >> %s\n", log)
	for _, name := range []string{"apt-get", "cp", "curl", "egress-certificate", "egress-net", "egress-nics", "ln", "nft", "sleep", "systemctl", "systemd-sysctl"} {
		write(name, note)
	}
	// The private NIC has its address once it is up.
	write("ifup", note+"touch "+dir+"/up\n")
	write("ip", "#!/bin/sh\n[ ! -e "+dir+"/up ] || echo '2: ens5 inet 172.16.28.8/22'\n")

	command := exec.CommandContext(t.Context(), "bash", write("egress-setup", script))
	command.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "apt-get") && strings.Contains(line, " install ") {
			line = "apt-get install"
		}
		calls = append(calls, line)
	}
	return calls
}

// TestPrivateNICComesUpAtBoot: by itself, without udev, which tells of NICs.
func TestPrivateNICComesUpAtBoot(t *testing.T) {
	if script := contentOf(t, render(t, validVM()), scriptFolder+"/egress-nics"); !strings.Contains(script, "\nauto $private\n") {
		t.Error("nothing brings it up")
	}
}
