package cloudinit

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMtailRunsAfterUpgrades: after dpkg has ended, mtail is started if its unit is
// enabled. A failure to start it is not a failure of dpkg.
func TestMtailRunsAfterUpgrades(t *testing.T) {
	config := render(t, validMachine())
	found := regexp.MustCompile(`(?m)^DPkg::Post-Invoke \{ "(.*)"; \};$`).FindStringSubmatch(contentOf(t, config, "/etc/apt/apt.conf.d/60egress"))
	if found == nil {
		t.Fatal("nothing is run after dpkg")
	}
	const enabled, start = "systemctl --quiet is-enabled mtail.service", "systemctl --no-block start mtail.service"
	for name, test := range map[string]struct {
		systemctl string
		want      []string
	}{
		"enabled":       {"exit 0", []string{enabled, start}},
		"not enabled":   {`[ "$1" != --quiet ]`, []string{enabled}},
		"start fails":   {`[ "$1" = --quiet ]`, []string{enabled, start}},
		"nothing works": {"exit 1", []string{enabled}},
	} {
		t.Run(name, func(t *testing.T) {
			root := newMachineRoot(t, validMachine())
			root.program("systemctl", test.systemctl)
			command := exec.CommandContext(t.Context(), "sh", "-c", found[1])
			command.Env = append(os.Environ(), "PATH="+root.path("/bin")+":"+os.Getenv("PATH"))
			if output, err := command.CombinedOutput(); err != nil {
				t.Errorf("dpkg would fail: %v: %s", err, output)
			}
			if diff := cmp.Diff(test.want, root.calls()); diff != "" {
				t.Errorf("calls of systemctl, -want +got:\n%s", diff)
			}
		})
	}
	for _, unit := range []string{"mtail", "prometheus-squid-exporter"} {
		if text := contentOf(t, config, "/etc/systemd/system/"+unit+".service.d/egress.conf"); !strings.Contains(text, "\nRestart=always\n") {
			t.Errorf("%s is not restarted:\n%s", unit, text)
		}
	}
}

// TestTimeIsKept: the audit log's lines and the validity of certificates depend on
// the time.
func TestTimeIsKept(t *testing.T) {
	values := contentOf(t, render(t, validMachine()), valuesFile)
	if !regexp.MustCompile(`(?m)^PACKAGES='.*\bsystemd-timesyncd\b.*'$`).MatchString(values) {
		t.Errorf("nothing keeps the time:\n%s", values)
	}
}

// leftAlone prints those of its arguments that needrestart does not restart.
const leftAlone = `
our %nrconf = (restart => 'i', override_rc => {});
my $file = shift;
eval do { local (@ARGV, $/) = $file; <> };
die $@ if $@;
die "restarts nothing by itself" if $nrconf{restart} ne 'a';
for my $unit (@ARGV) {
  print "$unit\n" if grep { $unit =~ /$_/ && !$nrconf{override_rc}{$_} } keys %{$nrconf{override_rc}};
}
`

// TestLibrariesAreReplacedInWhatRuns parses the configuration with Perl, as
// needrestart does.
func TestLibrariesAreReplacedInWhatRuns(t *testing.T) {
	perl, err := exec.LookPath("perl")
	if err != nil {
		t.Skip("skipped: there is no perl on this machine (Debian: apt install perl)")
	}
	file := newMachineRoot(t, validMachine()).path("/etc/needrestart/conf.d/egress.conf")
	never := []string{"ifup@ens5.service", "cloud-final.service", "egress-setup.service", "egress-net.service", "egress-sync.service"}
	units := append([]string{"-e", leftAlone, file, "squid.service", "ssh.service", "cron.service", "egress-syslog.service"}, never...)
	output, err := exec.CommandContext(t.Context(), perl, units...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if diff := cmp.Diff(never, strings.Fields(string(output))); diff != "" {
		t.Errorf("left alone, -want +got:\n%s", diff)
	}
}

// TestSquidIsNotRestartedByItsPackages: of all actions of packages' scripts, only
// restarts of Squid are forbidden (101).
func TestSquidIsNotRestartedByItsPackages(t *testing.T) {
	script := newMachineRoot(t, validMachine()).path(policyScript)
	for arguments, want := range map[string]int{
		"squid restart": 101, "squid.service restart": 101, "squid restart 5": 101,
		"squid start": 0, "squid.service stop": 0, "mtail.service restart": 0, "--list squid": 0,
	} {
		command := exec.CommandContext(t.Context(), script, strings.Fields(arguments)...)
		output, err := command.CombinedOutput()
		if command.ProcessState == nil || command.ProcessState.ExitCode() != want {
			t.Errorf("%s: %v, want exit status %d: %s", arguments, err, want, output)
		}
	}
	for _, file := range render(t, validMachine()).Files {
		if file.Path == policyScript && file.Permissions != "0755" {
			t.Errorf("its permissions are %s: it is not run", file.Permissions)
		}
	}
	if !slices.Contains(Packages(), "needrestart") {
		t.Error("no program restarts Squid")
	}
}

// TestUpgradesAreMadeByNight: upgrades run at night and are not caught up later,
// because they end tunnels. The reboot, at a local time, is after them.
func TestUpgradesAreMadeByNight(t *testing.T) {
	config := render(t, validMachine())
	for timer, at := range map[string]string{"apt-daily": "02:00", "apt-daily-upgrade": "03:00"} {
		text := contentOf(t, config, "/etc/systemd/system/"+timer+".timer.d/egress.conf")
		if want := "\n[Timer]\nOnCalendar=\nOnCalendar=*-*-* " + at + " UTC\nRandomizedDelaySec=30m\nPersistent=false\n"; !strings.HasSuffix("\n"+text, want) {
			t.Errorf("%s.timer: %q does not end in %q", timer, text, want)
		}
	}
	if config.Timezone != "Etc/UTC" {
		t.Errorf("the local time is that of %q", config.Timezone)
	}
	if apt := contentOf(t, config, "/etc/apt/apt.conf.d/60egress"); !strings.Contains(apt, `Automatic-Reboot-Time "04:00";`) {
		t.Errorf("no reboot at 4:\n%s", apt)
	}
}
