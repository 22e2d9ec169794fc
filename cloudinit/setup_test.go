package cloudinit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSetupNeedsNoPackageBeforeItHasThem runs egress-setup with programs that
// only note that they were called. What needs curl, which the image may lack,
// comes after the packages; with egress by the gateway, the way that they come
// by is made before.
func TestSetupNeedsNoPackageBeforeItHasThem(t *testing.T) {
	for egress, want := range map[SourceAddress][]string{
		SourceFlexibleIP: {"egress-nics", "ifup ens5", "apt-get install", "systemctl start egress-net.service", "systemctl start egress-sync.service"},
		SourceGateway:    {"egress-nics", "egress-net", "ifup ens5", "apt-get install", "systemctl start egress-net.service", "systemctl start egress-sync.service"},
	} {
		t.Run(string(egress), func(t *testing.T) {
			vm := validVM()
			vm.Egress = egress
			calls, err := setup{vm: vm}.run(t)
			if err != nil {
				t.Fatal(err)
			}
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

// TestSetupIsNotDoneBeforeAllRuns: whichever part does not come up, the machine
// does not count as set up, and the set-up fails, to be run again.
func TestSetupIsNotDoneBeforeAllRuns(t *testing.T) {
	syslog := validVM()
	syslog.Syslog = &Syslog{Host: "logs.example", Port: 6514}
	for _, test := range []struct {
		name    string
		vm      VM
		failing string // the end of a call
		fails   bool
	}{
		{"all is well", validVM(), "", false},
		{"no firewall", validVM(), "is-active nftables", true},
		{"no updates of the configuration", validVM(), "is-active egress-sync.timer", true},
		{"no care for the routes", validVM(), "is-active egress-net.timer", true},
		{"no metrics of tenants", validVM(), "is-active mtail", true},
		{"no metrics of Squid", validVM(), "is-active prometheus-squid-exporter", true},
		{"no shipping", syslog, "is-active egress-syslog", true},
		{"no packages", validVM(), " " + strings.Join(Packages(), " "), true},
		{"packages without what they need, for apt to mend", validVM(), "dpkg --force-confdef --force-confold --configure -a", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := setup{vm: test.vm, failing: test.failing, ready: filepath.Join(t.TempDir(), "lib", "ready")}
			calls, err := run.run(t)
			_, notReady := os.Stat(run.ready)
			if (err != nil) != test.fails || (notReady != nil) != test.fails {
				t.Errorf("it ends with %v, ready: %v; calls:\n%s", err, notReady == nil, strings.Join(calls, "\n"))
			}
		})
	}
}

// setup is a run of egress-setup with programs that only note that they were
// called.
type setup struct {
	vm VM
	// failing is the end of the calls that fail. Empty: none.
	failing string
	// ready is the file that says that the machine is set up, in a test's folder.
	ready string
}

// run returns the calls that were made, in order.
func (s setup) run(t *testing.T) ([]string, error) {
	t.Helper()
	config, dir := render(t, s.vm), t.TempDir()
	write := func(name, content string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		return name
	}
	if s.ready == "" {
		s.ready = filepath.Join(dir, "ready")
	}
	values := write("egress.conf", strings.ReplaceAll(contentOf(t, config, valuesFile), readyFile, s.ready))
	common := write("common.sh", strings.ReplaceAll(contentOf(t, config, "/usr/local/lib/egress/common.sh"), valuesFile, values))
	nics := write("nics.conf", "PUBLIC_NIC=ens2\nPRIVATE_NIC=ens5\n")
	script := strings.NewReplacer("/usr/local/lib/egress/common.sh", common, "/etc/egress/nics.conf", nics, "/lib/systemd/", dir+"/").
		Replace(contentOf(t, config, scriptFolder+"/egress-setup"))

	log := filepath.Join(dir, "calls")
	note := fmt.Sprintf("#!/bin/bash\necho \"${0##*/} $*\" >> %s\n", log)
	if s.failing != "" {
		note += fmt.Sprintf("[[ \"${0##*/} $*\" != *%q ]] || exit 1\n", s.failing)
	}
	for _, name := range []string{
		"apt-get", "cp", "curl", "dpkg", "egress-certificate", "egress-net", "egress-nics", "ln", "modprobe", "nft", "sleep", "sync", "systemctl", "systemd-sysctl",
	} {
		write(name, note)
	}
	// The private NIC has its address once it is up.
	write("ifup", note+"touch "+dir+"/up\n")
	write("ip", "#!/bin/sh\n[ ! -e "+dir+"/up ] || echo '2: ens5 inet 172.16.28.8/22'\n")

	command := exec.CommandContext(t.Context(), "bash", write("egress-setup", script))
	command.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	output, failure := command.CombinedOutput()
	if failure != nil {
		failure = fmt.Errorf("%w: %s", failure, output)
	}
	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "apt-get") && strings.HasSuffix(line, " "+strings.Join(s.vm.packages(), " ")) {
			line = "apt-get install"
		}
		calls = append(calls, line)
	}
	return calls, failure
}

// TestPrivateNICComesUpAtBoot: by itself, without udev, which tells of NICs.
func TestPrivateNICComesUpAtBoot(t *testing.T) {
	if script := contentOf(t, render(t, validVM()), scriptFolder+"/egress-nics"); !strings.Contains(script, "\nauto $private\n") {
		t.Error("nothing brings it up")
	}
}
