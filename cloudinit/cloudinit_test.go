package cloudinit

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"egress.scw/cloudinit/squid"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
)

func validMachine() Machine {
	return Machine{
		Hostname:       "egress-proxy",
		PrivateAddress: netip.MustParseAddr("172.16.28.8"),
		PrivateNetwork: netip.MustParsePrefix("172.16.28.0/22"),
		SourceAddress:  SourceFlexibleIP,
		NameServers:    []netip.Addr{netip.MustParseAddr("192.0.2.53")},
	}
}

// withSidecars is validMachine with the files for sidecars.
func withSidecars() Machine {
	machine := validMachine()
	machine.Identity = IdentityOffered
	return machine
}

// render returns the user data of a Machine as cloud-init reads it.
func render(t *testing.T, machine Machine) cloudConfig {
	t.Helper()
	text, err := Render(machine)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(text, []byte("#cloud-config\n")) {
		t.Errorf("cloud-init would not know what it is: %.20q", text)
	}
	// Instances accept more, but small user data stays readable.
	limit := 95_000
	if machine.Identity.Sidecars() {
		limit = 110_000
	}
	if len(text) > limit {
		t.Errorf("%d bytes", len(text))
	}
	var config cloudConfig
	if err := yaml.UnmarshalStrict(text, &config); err != nil {
		t.Fatal(err)
	}
	return config
}

func contentOf(t *testing.T, config cloudConfig, name string) string {
	t.Helper()
	for _, file := range config.Files {
		if file.Path == name {
			return file.Content
		}
	}
	t.Fatalf("there is no %s", name)
	return ""
}

func TestUserDataReadsBack(t *testing.T) {
	for name, machine := range casesIn(t) {
		t.Run(name, func(t *testing.T) {
			files, err := machine.files()
			if err != nil {
				t.Fatal(err)
			}
			want := cloudConfig{
				Hostname: machine.Hostname, ManageEtcHosts: "localhost", Timezone: "Etc/UTC", Files: files,
				BootCommands: machine.bootCommands(),
				RunCommands:  [][]string{{"systemctl", "enable", "egress-setup.service"}, {"systemctl", "start", "egress-setup.service"}},
			}
			if diff := cmp.Diff(want, render(t, machine)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			seen := map[string]bool{}
			for _, file := range files {
				if !path.IsAbs(file.Path) || path.Clean(file.Path) != file.Path || seen[file.Path] {
					t.Errorf("%q is no path of its own", file.Path)
				}
				seen[file.Path] = true
				if !strings.HasSuffix(file.Content, "\n") || strings.Contains(file.Content, "<no value>") || strings.Contains(file.Content, "{{") {
					t.Errorf("%s is not complete:\n%s", file.Path, file.Content)
				}
			}
		})
	}
}

// TestScriptsParse checks the syntax of each script with the program that will run it.
func TestScriptsParse(t *testing.T) {
	for _, file := range render(t, withSidecars()).Files {
		shell, check := "", "-n"
		strict := regexp.MustCompile(`(?m)^set -E?euo? pipefail$|^set -eE?uo pipefail$`)
		switch {
		case strings.HasPrefix(file.Content, "#!/usr/bin/perl\n"):
			shell, check, strict = "perl", "-c", regexp.MustCompile(`(?m)^use strict;$`)
		case strings.HasPrefix(file.Content, "#!/bin/bash\n"), strings.HasPrefix(file.Content, "# shellcheck shell=bash"):
			shell = "bash"
		case strings.HasPrefix(file.Content, "# shellcheck shell=sh"), file.Path == valuesFile:
			shell = "sh"
		}
		program := strings.HasPrefix(file.Content, "#!/bin/") || shell == "perl"
		if executable := file.Permissions == "0755"; executable != program {
			t.Errorf("%s has the mode %s", file.Path, file.Permissions)
		}
		if shell == "" {
			if folder := path.Dir(file.Path); folder == scriptFolder || folder == path.Dir(commonScript) {
				t.Errorf("%s does not name its shell", file.Path)
			}
			continue
		}
		t.Run(path.Base(file.Path), func(t *testing.T) {
			command := exec.CommandContext(t.Context(), shell, check)
			command.Stdin = strings.NewReader(file.Content)
			if output, err := command.CombinedOutput(); err != nil {
				t.Errorf("%s %s: %v\n%s", shell, check, err, output)
			}
			if file.Permissions == "0755" && !strict.MatchString(file.Content) {
				t.Error("goes on after a failure")
			}
		})
	}
}

// TestBootEndsWithTheSetup: cloud-init takes the exit status of the last command
// as the status of the boot.
func TestBootEndsWithTheSetup(t *testing.T) {
	config := render(t, validMachine())
	want := []string{"systemctl", "start", setupUnit}
	if last := config.RunCommands[len(config.RunCommands)-1]; !slices.Equal(last, want) {
		t.Errorf("it ends with %q, want %q", last, want)
	}
	if unit := contentOf(t, config, "/etc/systemd/system/"+setupUnit); !strings.Contains(unit, "\nExecStart="+scriptFolder+"/egress-setup\n") {
		t.Errorf("that does not run egress-setup:\n%s", unit)
	}
}

// TestUnitsRunWhatIsThere: every program of ours that a unit starts is among the files.
func TestUnitsRunWhatIsThere(t *testing.T) {
	config := render(t, withSidecars())
	command := regexp.MustCompile(`(?m)^Exec\w+=-?(/usr/local/\S+)`)
	found := 0
	for _, file := range config.Files {
		for _, match := range command.FindAllStringSubmatch(file.Content, -1) {
			found++
			contentOf(t, config, match[1])
		}
	}
	if found == 0 {
		t.Error("no unit starts anything of ours")
	}
}

// TestConsoleTells: the proxy's own units write their output to the console. A
// machine without SSH has no other visible output.
func TestConsoleTells(t *testing.T) {
	config := render(t, validMachine())
	for _, unit := range []string{"egress-net", "egress-setup", "egress-sync"} {
		text := contentOf(t, config, "/etc/systemd/system/"+unit+".service")
		for _, line := range []string{"StandardOutput=journal+console", "StandardError=journal+console"} {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("%s.service: no %s", unit, line)
			}
		}
	}
}

// TestFirewallParses checks the rules with nftables, in a network namespace of
// the test's own where possible. The check needs the rights of root, but changes
// no rules.
func TestFirewallParses(t *testing.T) {
	nft, err := exec.LookPath("nft")
	if err != nil {
		if nft, err = exec.LookPath("/usr/sbin/nft"); err != nil {
			t.Skip("skipped: there is no nft on this machine (Debian: apt install nftables)")
		}
	}
	check := func(t *testing.T, text string) ([]byte, error) {
		file := filepath.Join(t.TempDir(), "nftables.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return exec.CommandContext(t.Context(), nft, "-c", "-f", file).CombinedOutput()
	}
	if output, err := check(t, "table inet probe { }\n"); err != nil {
		t.Skipf("skipped: nft may not check rules here: %v: %s", err, output)
	}
	for name, machine := range casesIn(t) {
		t.Run(name, func(t *testing.T) {
			text := contentOf(t, render(t, machine), "/etc/nftables.conf")
			const include = "include \"/etc/egress/nics.nft\"\n"
			if !strings.Contains(text, include) {
				t.Fatalf("no %s", include)
			}
			text = strings.Replace(text, include, "define public_nic = \"ens2\"\ndefine private_nic = \"ens3\"\n", 1)
			if output, err := check(t, text); err != nil {
				t.Errorf("nft -c: %v\n%s", err, output)
			}
		})
	}
}

func TestFirewallOpens(t *testing.T) {
	flexible, withSSH, gateway, sidecars := validMachine(), validMachine(), validMachine(), withSidecars()
	withSSH.SSH = true
	gateway.SourceAddress = SourceGateway
	const status = `$private_nic ip saddr 172.16.28.0/22 ip daddr 172.16.28.8 tcp dport 3128`
	const metrics = `$private_nic ip saddr 172.16.28.0/22 ip daddr 172.16.28.8 tcp dport {3903, 9100, 9301}`
	for name, test := range map[string]struct {
		machine Machine
		opens   []string // accepted packets, besides answers, ICMP and DHCP
		nic     string
	}{
		"FlexibleIP": {flexible, []string{`$private_nic ip saddr 172.16.28.0/22 ip daddr 172.16.28.8 tcp dport 3129-3255`, status, metrics}, "$public_nic"},
		"SSH": {withSSH, []string{
			`$private_nic ip saddr 172.16.28.0/22 ip daddr 172.16.28.8 tcp dport 3129-3255`, status, metrics, `$public_nic tcp dport 22`,
		}, "$public_nic"},
		"sidecars": {sidecars, []string{
			`$private_nic ip saddr 172.16.28.0/22 ip daddr 172.16.28.8 tcp dport 3129-3255`, `$private_nic ip saddr 172.16.28.0/22 ip daddr 172.16.28.8 tcp dport 3443`, status, metrics,
		}, "$public_nic"},
		"Gateway": {gateway, []string{`$private_nic ip saddr 172.16.28.0/22 ip daddr 172.16.28.8 tcp dport 3129-3255`, status, metrics}, "$private_nic"},
	} {
		t.Run(name, func(t *testing.T) {
			text := contentOf(t, render(t, test.machine), "/etc/nftables.conf")
			var opens []string
			for _, match := range regexp.MustCompile(`(?m)^\s+iifname (.*) counter accept$`).FindAllStringSubmatch(text, -1) {
				opens = append(opens, match[1])
			}
			if diff := cmp.Diff(test.opens, opens); diff != "" {
				t.Errorf("open to others, -want +got:\n%s", diff)
			}
			if want := "oifname != " + test.nic + " counter reject"; !strings.Contains(text, want) {
				t.Errorf("Squid is not kept to its NIC: no %q", want)
			}
		})
	}
}

// TestFirewallBoundsTenants: the rule that refuses a tenant at its bound comes
// before the rule that accepts connections. Eight tenants at their bounds leave
// Squid some descriptors.
func TestFirewallBoundsTenants(t *testing.T) {
	text := contentOf(t, render(t, validMachine()), "/etc/nftables.conf")
	const tenants = `ip daddr 172.16.28.8 tcp dport 3129-3255 `
	refuses := strings.Index(text, tenants+"add @tenant_connections { tcp dport ct count over 4000 } update @tenant_connections_refused { tcp dport } reject with tcp reset\n")
	accepts := strings.Index(text, tenants+"counter accept\n")
	if refuses < 0 || accepts < refuses {
		t.Errorf("it refuses at byte %d, and accepts at byte %d:\n%s", refuses, accepts, text)
	}
	if ports := names.TenantPortMax - names.TenantPortMin + 1; ports > 256 {
		t.Errorf("the set has no room for %d ports", ports)
	}
	conf, err := os.ReadFile("squid/squid.conf.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^max_filedescriptors (\d+)$`).FindSubmatch(conf)
	if found == nil {
		t.Fatal("squid.conf says nothing of descriptors")
	}
	if descriptors, err := strconv.Atoi(string(found[1])); err != nil || descriptors < 8*2*TenantConnections {
		t.Errorf("Squid has %d descriptors: too few for eight tenants with %d tunnels each", descriptors, TenantConnections)
	}
}

// TestPortsSuffice: an address has enough ports for the maximum number of Squid's
// connections to origins (half of its descriptors) and for the ended connections
// that the kernel keeps in TIME_WAIT.
func TestPortsSuffice(t *testing.T) {
	text := contentOf(t, render(t, validMachine()), "/etc/sysctl.d/60-egress.conf")
	var first, last, remembered int
	for name, into := range map[string][]any{"ip_local_port_range": {&first, &last}, "tcp_max_tw_buckets": {&remembered}} {
		_, value, _ := strings.Cut(text, "\n-net.ipv4."+name+" = ")
		if _, err := fmt.Sscan(value, into...); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if ports := last - first + 1; ports < 65536/2+remembered {
		t.Errorf("%d ports: too few for %d connections and %d that have ended", ports, 65536/2, remembered)
	}
}

// TestFirewallForbidsWhatSquidForbids: the firewall and squid.conf each contain
// the same list of forbidden networks. Squid also forbids the proxy's own
// addresses. They are reached through lo, and the firewall permits Squid only the
// egress NIC.
func TestFirewallForbidsWhatSquidForbids(t *testing.T) {
	want := map[string]bool{}
	for _, network := range policy.ForbiddenDestinations() {
		if network.Addr().Is4() {
			want[network.String()] = true
		}
	}
	set := regexp.MustCompile(`(?s)set forbidden \{.*?elements = \{(.*?)\}`).FindStringSubmatch(contentOf(t, render(t, validMachine()), "/etc/nftables.conf"))
	if set == nil {
		t.Fatal("no set of forbidden networks")
	}
	got := map[string]bool{}
	for element := range strings.SplitSeq(set[1], ",") {
		got[strings.TrimSpace(element)] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-squid +nftables:\n%s", diff)
	}
}

// TestLogsAreRotated: both logs that squid.conf configures are rotated.
func TestLogsAreRotated(t *testing.T) {
	rotation := contentOf(t, render(t, validMachine()), "/etc/logrotate.d/squid")
	for _, log := range []string{AuditLog, cacheLog} {
		if !strings.Contains(rotation, "\n"+log+" {\n") {
			t.Errorf("%s is not rotated", log)
		}
	}
	if !strings.Contains(rotation, pidFile) {
		t.Error("Squid is not looked for by its PID file")
	}
}

func TestValidationTellsEverything(t *testing.T) {
	address, prefix := netip.MustParseAddr, netip.MustParsePrefix
	for name, test := range map[string]struct {
		change func(*Machine)
		want   []string
	}{
		"valid": {func(*Machine) {}, nil},
		"private resolver": {func(machine *Machine) {
			machine.SourceAddress, machine.NameServers[0] = SourceGateway, address("172.16.28.1")
		}, nil},
		"nothing":   {func(machine *Machine) { *machine = Machine{} }, []string{"machine.hostname", "machine.privateNetwork", "machine.privateAddress", "machine.sourceAddress", "machine.nameServers"}},
		"hostname":  {func(machine *Machine) { machine.Hostname = "a.b" }, []string{"machine.hostname"}},
		"newline":   {func(machine *Machine) { machine.Hostname = "a\nruncmd: [reboot]" }, []string{"machine.hostname"}},
		"elsewhere": {func(machine *Machine) { machine.PrivateAddress = address("172.16.32.8") }, []string{"machine.privateAddress"}},
		"IPv6": {func(machine *Machine) {
			machine.PrivateAddress, machine.PrivateNetwork = address("fd00::8"), prefix("fd00::/64")
		}, []string{"machine.privateNetwork", "machine.privateAddress"}},
		"host bits":             {func(machine *Machine) { machine.PrivateNetwork = prefix("172.16.28.8/22") }, []string{"machine.privateNetwork"}},
		"unknown egress":        {func(machine *Machine) { machine.SourceAddress = "Both" }, []string{"machine.sourceAddress"}},
		"SSH without address":   {func(machine *Machine) { machine.SourceAddress, machine.SSH = SourceGateway, true }, []string{"machine.ssh"}},
		"unreachable resolver":  {func(machine *Machine) { machine.NameServers[0] = address("172.16.28.1") }, []string{"machine.nameServers[0]"}},
		"resolver of IPv6":      {func(machine *Machine) { machine.NameServers[0] = address("2001:db8::53") }, []string{"machine.nameServers[0]"}},
		"same resolver twice":   {func(machine *Machine) { machine.NameServers = append(machine.NameServers, machine.NameServers[0]) }, []string{"machine.nameServers[1]"}},
		"resolver on this host": {func(machine *Machine) { machine.NameServers[0] = address("127.0.0.1") }, []string{"machine.nameServers[0]"}},
		"no address":            {func(machine *Machine) { machine.NameServers[0] = netip.Addr{} }, []string{"machine.nameServers[0]"}},
	} {
		t.Run(name, func(t *testing.T) {
			machine := validMachine()
			test.change(&machine)
			var got []string
			for _, err := range machine.validate() {
				got = append(got, err.Field)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			text, err := Render(machine)
			if (err != nil) != (len(test.want) > 0) || (err != nil) != (text == nil) {
				t.Fatalf("Render returns %d bytes and %v", len(text), err)
			}
			for _, field := range test.want {
				if !strings.Contains(err.Error(), field) {
					t.Errorf("%v does not tell about %s", err, field)
				}
			}
		})
	}
}

// TestLiveCheckReadsSquidConf: egress-sync finds every tenant's port and revision in a
// rendered file.
func TestLiveCheckReadsSquidConf(t *testing.T) {
	config := render(t, validMachine())
	script := contentOf(t, config, scriptFolder+"/egress-sync") + contentOf(t, config, portScript)
	functions := regexp.MustCompile(`(?m)^(served|ports)\(\) .*$`).FindAllString(script, -1)
	if len(functions) != 2 {
		t.Fatalf("the functions are %q", functions)
	}
	files, err := filepath.Glob("squid/testdata/*.golden.conf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no squid.conf to read: %v", err)
	}
	for _, file := range files {
		conf, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want string
		for _, match := range regexp.MustCompile(`(?m)^http_port \S+:(\d+) name=([a-z0-9-]+)( |$)`).FindAllStringSubmatch(string(conf), -1) {
			want += match[1] + " " + squid.Revisions(conf)[match[2]] + " " + match[2] + "\n" + match[1] + "\n"
		}
		script := strings.Join(functions, "\n") + "\nserved \"$1\" | while read -r line; do echo \"$line\"; echo \"${line%% *}\"; done; diff <(ports \"$1\") <(served \"$1\" | cut -d ' ' -f 1)"
		output, err := exec.CommandContext(t.Context(), "bash", "-c", script, "test", file).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if diff := cmp.Diff(want, string(output)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", file, diff)
		}
	}
}
