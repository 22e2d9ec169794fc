package cloudinit

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/names"
)

const (
	liveConf     = "/etc/squid/squid.conf"
	previousConf = "/etc/squid/squid.conf.previous"
)

// syncing is a machine's folder in which egress-sync runs. Its Squid only records
// the file that it has read.
type syncing struct {
	*machineRoot
}

// impatient makes the time limits a second, for a file that Squid does not serve, and patient
// the product's own, for one that it does: on a busy machine, its ports answer late.
const impatient, patient = "1", ""

// newSyncing returns a machine with the time limits patience, in seconds. Empty: the
// product's limits.
func newSyncing(t *testing.T, patience string) syncing {
	t.Helper()
	return newSyncingOn(t, validMachine(), patience)
}

func newSyncingOn(t *testing.T, machine Machine, patience string) syncing {
	t.Helper()
	machine.PrivateAddress, machine.PrivateNetwork = netip.MustParseAddr("127.0.0.1"), netip.MustParsePrefix("127.0.0.0/8")
	s := syncing{newMachineRoot(t, machine)}
	s.patience = patience
	s.program("systemctl", "cd "+s.dir, `[ "$1" != kill ] || grep -q unserved .`+liveConf+` || cp .`+liveConf+` serving`)
	s.program("chown")
	s.program("squid", `[ "$1 $2" != "-k parse" ] || ! grep -q no_such_directive "$4" || exit 1`)
	s.program("ip", `echo "$4 via 192.0.2.1 dev ens2 src 192.0.2.2 uid 0"`)
	// The metadata service consists of two files; Squid's ports are real.
	s.program("curl", `case "$*" in *http://`+metadataAddress+`/user_data/squid-conf) ;; *) exec /usr/bin/curl "$@" ;; esac
[ ! -e `+s.path("silent")+` ] || { echo "no response" >&2; exit 7; }
cat `+s.path("user-data"))
	s.firewall()
	// No socket of this machine is looked at or ended.
	s.program("ss", `case "$*" in
*--kill*) ;;
*) cat `+s.path("connected")+` 2> /dev/null || true ;;
esac`)
	s.write(liveConf, "")
	s.write("serving", "")
	return s
}

// listen opens ports that respond, after a delay, with the revision in the file that
// Squid serves.
func (s syncing) listen(count int, delay time.Duration) []string {
	s.t.Helper()
	var ports []string
	for range count {
		listener, err := new(net.ListenConfig).Listen(s.t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			s.t.Fatal(err)
		}
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			s.t.Fatal(err)
		}
		revision := regexp.MustCompile(`(?m)^# serves ` + port + ` (\S+) `)
		server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(delay)
			serving, err := os.ReadFile(s.path("serving"))
			if found := revision.FindSubmatch(serving); err == nil && found != nil {
				w.Header().Set(names.HeaderRevision, string(found[1]))
			}
			w.WriteHeader(http.StatusForbidden)
		})}
		go func() { _ = server.Serve(listener) }()
		s.t.Cleanup(func() { _ = server.Close() })
		ports = append(ports, port)
	}
	return ports
}

// conf returns a squid.conf with these ports.
func conf(ports []string, revision, more string) string {
	text := "http_port 127.0.0.1:3128 name=manager_port\n" + more + "\n"
	for _, port := range ports {
		text += fmt.Sprintf("# serves %s %s client-%[1]s\nhttp_port 127.0.0.1:%[1]s name=client-%[1]s\n", port, revision)
	}
	return text
}

func (s syncing) publish(conf string) {
	s.t.Helper()
	value, err := EncodeSquidConf([]byte(conf))
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("user-data", string(value))
}

// sync runs egress-sync, and returns its output and the commands that it sends to
// Squid.
func (s syncing) sync() (output string, squid []string) {
	s.t.Helper()
	s.write("calls", "")
	output = s.run("egress-sync")
	for _, call := range s.calls() {
		if command, found := strings.CutPrefix(call, "squid -k "); found {
			squid = append(squid, strings.Fields(command)[0])
		}
		if call == "systemctl kill --kill-whom=main --signal=HUP squid.service" {
			squid = append(squid, "reconfigure")
		}
	}
	return output, squid
}

// pass moves the end of the refusal, in seconds since the boot, nearer.
func (s syncing) pass(by time.Duration) {
	s.t.Helper()
	const refused = "/run/egress/refused"
	value, end, _ := strings.Cut(s.read(refused), "  - ")
	until, err := strconv.Atoi(strings.TrimSpace(end))
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(refused, fmt.Sprintf("%s  - %d\n", value, until-int(by.Seconds())))
}

// exported returns the metrics with this prefix in the file that the node exporter reads.
func (s syncing) exported(prefix string) map[string]string {
	s.t.Helper()
	metrics := map[string]string{}
	for line := range strings.Lines(s.read(metricsFolder + "/egress.prom")) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(name, prefix) {
			metrics[name] = value
		}
	}
	return metrics
}

// state returns the state of the configuration in the metrics.
func (s syncing) state() string {
	s.t.Helper()
	return fmt.Sprintf("fetched=%s refused=%s", s.exported(names.MetricConfigFetched)[names.MetricConfigFetched],
		s.exported(names.MetricConfigRefused)[names.MetricConfigRefused])
}

// TestSyncReplacesConfiguration: a new value is loaded once. It is also stored as the
// file to restore.
func TestSyncReplacesConfiguration(t *testing.T) {
	s := newSyncing(t, "")
	want := conf(s.listen(2, 0), "a1", "")
	s.publish(want)
	output, squid := s.sync()
	if diff := cmp.Diff([]string{"parse", "reconfigure"}, squid); diff != "" || !strings.Contains(output, "squid.conf is live") {
		t.Fatalf("it prints %q; calls of Squid, -want +got:\n%s", output, diff)
	}
	for _, name := range []string{liveConf, previousConf} {
		if diff := cmp.Diff(want, s.read(name)); diff != "" {
			t.Errorf("%s, -want +got:\n%s", name, diff)
		}
	}
	if output, squid := s.sync(); output != "" || squid != nil {
		t.Errorf("with nothing new, it prints %q and calls %q", output, squid)
	}
	if got := s.state(); got != "fetched=1 refused=0" {
		t.Error(got)
	}
}

// TestSyncAsksPortsForSidecars: a file whose tenants only sidecars reach is live once Squid
// serves it on their ports. Otherwise the former one is restored.
func TestSyncAsksPortsForSidecars(t *testing.T) {
	machine := validMachine()
	machine.Identity = IdentityRequired
	s := newSyncingOn(t, machine, patient)
	ports := s.listenForSidecars(2)
	confOf := func(revision, more string) string {
		text := conf(nil, "", more)
		for _, port := range ports {
			text += fmt.Sprintf("# serves-sidecars %s %s client-%[1]s\n", port, revision)
		}
		return text
	}
	s.publish(confOf("a1", ""))
	if output, _ := s.sync(); !strings.Contains(output, "squid.conf is live") {
		t.Fatalf("it prints %q", output)
	}
	s.patience = impatient
	s.publish(confOf("b1", "# unserved"))
	if output, _ := s.sync(); !strings.Contains(output, "Squid does not serve it") || s.state() != "fetched=1 refused=1" {
		t.Errorf("of a file that Squid does not serve, it prints %q with metrics %s", output, s.state())
	}
	for _, name := range []string{liveConf, previousConf} {
		if diff := cmp.Diff(confOf("a1", ""), s.read(name)); diff != "" {
			t.Errorf("%s, -want +got:\n%s", name, diff)
		}
	}
}

// listenForSidecars opens ports that respond like those of listen, to requests with the
// tenant of the port that begin with the PROXY protocol.
func (s syncing) listenForSidecars(count int) []string {
	s.t.Helper()
	var ports []string
	for range count {
		listener, err := new(net.ListenConfig).Listen(s.t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = listener.Close() })
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			s.t.Fatal(err)
		}
		go func() {
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				s.answerSidecar(connection, port)
			}
		}()
		ports = append(ports, port)
	}
	return ports
}

func (s syncing) answerSidecar(connection net.Conn, port string) {
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(time.Minute))
	reader := bufio.NewReader(connection)
	line, err := reader.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "PROXY TCP4 127.0.0.1 127.0.0.1 ") {
		return
	}
	request, err := http.ReadRequest(reader)
	if err != nil || request.Header.Get(names.HeaderTenant) != "client-"+port {
		return
	}
	serving, _ := os.ReadFile(s.path("serving"))
	found := regexp.MustCompile(`(?m)^# serves-sidecars ` + port + ` (\S+) `).FindSubmatch(serving)
	if found != nil {
		fmt.Fprintf(connection, "HTTP/1.1 403 Forbidden\r\n%s: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", names.HeaderRevision, found[1])
	}
}

// TestSyncAsksAllPortsInTime: the maximum number of ports is queried in time on a
// machine that takes half a second for each response.
func TestSyncAsksAllPortsInTime(t *testing.T) {
	s := newSyncing(t, "")
	s.publish(conf(s.listen(names.TenantPortMax-names.TenantPortMin+1, time.Second/2), "a1", ""))
	if output, _ := s.sync(); !strings.Contains(output, "squid.conf is live") {
		t.Errorf("it prints %q", output)
	}
}

// TestSyncRefusalRemains: the refusal remains while no value can be fetched. The failed
// fetch is reported once.
func TestSyncRefusalRemains(t *testing.T) {
	s := newSyncing(t, "")
	s.publish(conf(nil, "", "no_such_directive"))
	if output, squid := s.sync(); !strings.Contains(output, "refused") || len(squid) != 1 || s.state() != "fetched=1 refused=1" {
		t.Fatalf("it prints %q, calls %q with metrics %s", output, squid, s.state())
	}
	s.write("silent", "")
	for _, want := range []string{"<4>egress-sync: cannot fetch user data, the old squid.conf stays: no response\n", ""} {
		if output, _ := s.sync(); output != want || s.state() != "fetched=0 refused=1" {
			t.Errorf("it prints %q with metrics %s, want %q", output, s.state(), want)
		}
	}
	if err := os.Remove(s.path("silent")); err != nil {
		t.Fatal(err)
	}
	if output, squid := s.sync(); output != "" || squid != nil {
		t.Errorf("of the same value, it prints %q and calls %q", output, squid)
	}
}

// TestSyncKeepsSquidRunning: a Squid that was stopped is started again, whatever becomes of
// the value; but not before the first file from user data.
func TestSyncKeepsSquidRunning(t *testing.T) {
	s := newSyncing(t, patient)
	const start = "systemctl start --no-block squid.service"
	starts := func(what string, want bool) {
		t.Helper()
		s.program("systemctl", `[ "$2" != is-active ]`)
		defer s.program("systemctl", "cd "+s.dir, `[ "$1" != kill ] || cp .`+liveConf+` serving`)
		if output, _ := s.sync(); slices.Contains(s.calls(), start) != want {
			t.Errorf("%s: it prints %q; calls:\n%s", what, output, strings.Join(s.calls(), "\n"))
		}
	}
	s.publish(conf(nil, "", "no_such_directive"))
	starts("no file yet", false)
	s.publish(conf(s.listen(1, 0), "a1", ""))
	if output, _ := s.sync(); !strings.Contains(output, "squid.conf is live") {
		t.Fatalf("it prints %q", output)
	}
	starts("nothing new", true)
	s.publish(conf(nil, "", "no_such_directive"))
	starts("a new value that is refused", true)
	starts("a refused value", true)
	s.write("silent", "")
	starts("no response", true)
}

// TestPoll: egress-poll starts egress-sync for a value that egress-sync has not fetched
// yet, and for no other.
func TestPoll(t *testing.T) {
	s := newSyncing(t, "")
	const start = "systemctl start --no-block egress-sync.service"
	poll := func(what string, want bool) {
		t.Helper()
		s.write("calls", "")
		if output := s.run("egress-poll"); output != "" {
			t.Errorf("%s: it prints %q", what, output)
		}
		if got := slices.Contains(s.calls(), start); got != want {
			t.Errorf("%s: egress-sync is started: %v; calls:\n%s", what, got, strings.Join(s.calls(), "\n"))
		}
	}
	s.publish(conf(s.listen(1, 0), "a1", ""))
	poll("the first value", true)
	s.sync()
	poll("the fetched value", false)
	s.publish(conf(nil, "", "no_such_directive"))
	poll("another value", true)
	if output, _ := s.sync(); !strings.Contains(output, "refused") {
		t.Fatalf("egress-sync prints %q", output)
	}
	poll("the refused value", false)
	s.write(liveConf, "# serves 3129 a1 client-a\n# draining\n")
	poll("a drained file", true)
	s.write(liveConf, "")
	s.publish(conf(nil, "", ""))
	s.write("silent", "")
	poll("no response", false)
}

// TestSyncTriesAgain: a value that cannot be parsed is retried after 10 minutes, because
// the attempt interrupts no tenant. A value that Squid does not serve is retried after an
// hour. Another value is tried at once.
func TestSyncTriesAgain(t *testing.T) {
	s := newSyncing(t, patient)
	ports := s.listen(1, 0)
	good := conf(ports, "a1", "")
	s.publish(good)
	s.sync()
	s.patience = impatient
	for _, step := range []struct {
		name, conf string
		passed     time.Duration // since the step before
		want       []string
	}{
		{"does not parse", conf(ports, "b1", "no_such_directive"), 0, []string{"parse"}},
		{"9 minutes later", "", 9 * time.Minute, nil},
		{"11 minutes later", "", 2 * time.Minute, []string{"parse"}},
		{"is not served", conf(ports, "c1", "# unserved"), 0, []string{"parse", "reconfigure", "reconfigure"}},
		{"11 minutes later", "", 11 * time.Minute, nil},
		{"59 minutes later", "", 48 * time.Minute, nil},
		{"61 minutes later", "", 2 * time.Minute, []string{"parse", "reconfigure", "reconfigure"}},
	} {
		if step.conf != "" {
			s.publish(step.conf)
		} else {
			s.pass(step.passed)
		}
		output, squid := s.sync()
		if diff := cmp.Diff(step.want, squid); diff != "" {
			t.Errorf("%s: it prints %q; calls of Squid, -want +got:\n%s", step.name, output, diff)
		}
		if got := s.state(); got != "fetched=1 refused=1" {
			t.Errorf("%s: %s", step.name, got)
		}
		if diff := cmp.Diff(good, s.read(liveConf)); diff != "" {
			t.Errorf("%s: squid.conf, -want +got:\n%s", step.name, diff)
		}
	}
	s.patience = patient
	s.publish(conf(ports, "d1", ""))
	if output, _ := s.sync(); !strings.Contains(output, "squid.conf is live") || s.state() != "fetched=1 refused=0" {
		t.Errorf("of another value it prints %q with metrics %s", output, s.state())
	}
}

// TestSyncRefusesPortsWithoutRevision: egress-sync cannot check whether Squid serves a
// port without a revision.
func TestSyncRefusesPortsWithoutRevision(t *testing.T) {
	ports := []string{"3129", "3130"}
	for name, text := range map[string]string{
		"none has one": strings.ReplaceAll(conf(ports, "a1", ""), "# serves", "# other"),
		"one has none": strings.ReplaceAll(conf(ports, "a1", ""), "# serves 3130", "# other"),
		"without host": strings.ReplaceAll(conf(ports, "a1", "http_port 3131 name=client-c"), "127.0.0.1:", ""),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSyncing(t, impatient)
			s.publish(text)
			if output, squid := s.sync(); !strings.Contains(output, "ports and revisions do not match") || squid != nil || s.state() != "fetched=1 refused=1" {
				t.Errorf("it prints %q, calls %q with metrics %s", output, squid, s.state())
			}
		})
	}
}

// TestSyncFilesSurvivePowerLoss: a file is synced to the disk before it replaces
// another.
func TestSyncFilesSurvivePowerLoss(t *testing.T) {
	s := newSyncing(t, "")
	s.program("sync")
	s.program("mv", `exec /bin/mv "$@"`)
	s.publish(conf(s.listen(1, 0), "a1", ""))
	s.sync()
	var got []string
	for _, call := range s.calls() {
		call = strings.ReplaceAll(call, s.path("/etc/squid")+"/", "")
		if strings.Contains(call, "squid.conf") && (strings.HasPrefix(call, "sync ") || strings.HasPrefix(call, "mv ")) {
			got = append(got, call)
		}
	}
	want := []string{
		"sync squid.conf.next", "mv squid.conf.next squid.conf",
		"sync squid.conf.previous.next", "mv squid.conf.previous.next squid.conf.previous",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestMachineMetrics: the file that the node exporter reads contains the state of the
// configuration and of the machine. It contains the number of refused connections of
// every served tenant, including zero.
func TestMachineMetrics(t *testing.T) {
	s := newSyncing(t, "")
	ports := s.listen(2, 0)
	s.publish(conf(ports, "a1", ""))
	s.write("refused-connections", `table inet egress {
	set tenant_connections_refused {
		type inet_service
		size 256
		flags dynamic
		counter
		elements = { 3128 counter packets 9 bytes 540, `+ports[1]+` counter packets 4 bytes 240 }
	}
}
`)
	s.program("df", "echo '1B-blocks Avail'; echo 20000000000 15000000000")
	before := time.Now().Truncate(time.Second)
	s.sync()
	got := s.exported("egress_")
	for _, name := range []string{names.MetricConfigLastRun, names.MetricConfigLive} {
		var seconds int64
		if _, err := fmt.Sscan(got[name], &seconds); err != nil || time.Unix(seconds, 0).Before(before) || time.Unix(seconds, 0).After(time.Now()) {
			t.Errorf("%s is %q, want the present time", name, got[name])
		}
		delete(got, name)
	}
	want := map[string]string{
		names.MetricConfigFetched: "1",
		names.MetricConfigRefused: "0",
		names.MetricSquidOutdated: "0",
		names.MetricDiskSize:      "20000000000",
		names.MetricDiskFree:      "15000000000",
		names.MetricRefusedConnections + `{tenant="client-` + ports[0] + `"}`: "0",
		names.MetricRefusedConnections + `{tenant="client-` + ports[1] + `"}`: "4",
		names.MetricPortClosed + `{tenant="client-` + ports[0] + `"}`:         "0",
		names.MetricPortClosed + `{tenant="client-` + ports[1] + `"}`:         "0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics, -want +got:\n%s", diff)
	}
}

// TestOutdatedSquidShows: a metric is 1 if Squid's program or one of its libraries is a
// deleted file. Other deleted files, such as shared memory, do not count.
func TestOutdatedSquidShows(t *testing.T) {
	const (
		program = "55d0c0000000-55d0c0600000 r-xp 00200000 00:30 1234 /usr/sbin/squid-openssl"
		library = "7f0000000000-7f0000100000 r-xp 00028000 00:30 5678 /usr/lib/x86_64-linux-gnu/libssl.so.3"
		memory  = "7f1000000000-7f1000001000 rw-s 00000000 00:01 9 /dev/zero (deleted)\n7f2000000000-7f2000001000 r-xp 00000000 00:01 9 /memfd:pcre2 (deleted)"
	)
	s := newSyncing(t, "")
	s.publish(conf(s.listen(1, 0), "a1", ""))
	s.program("systemctl", `[ "$*" != "show --property=MainPID --value squid.service" ] || echo 4711`)
	for name, test := range map[string]struct{ maps, want string }{
		"present files":    {program + "\n" + library + "\n" + memory + "\n", "0"},
		"replaced program": {program + " (deleted)\n" + library + "\n", "1"},
		"replaced library": {program + "\n" + library + " (deleted)\n", "1"},
		"no process":       {"", "0"},
	} {
		s.write("/proc/4711/maps", test.maps)
		s.sync()
		if got := s.exported(names.MetricSquidOutdated)[names.MetricSquidOutdated]; got != test.want {
			t.Errorf("%s: %s is %q, want %s", name, names.MetricSquidOutdated, got, test.want)
		}
	}
}

// TestMetricsAreReplacedInOneStep: the node exporter reads all files *.prom of the
// folder at any time. It never finds an incomplete file.
func TestMetricsAreReplacedInOneStep(t *testing.T) {
	s := newSyncing(t, "")
	s.publish(conf(nil, "", "no_such_directive"))
	s.sync()
	old := s.read(metricsFolder + "/egress.prom")
	s.program("df", "cp -r "+s.path(metricsFolder)+" "+s.path("/seen")) // in the middle of a report
	s.sync()
	seen, err := filepath.Glob(s.path("/seen/*.prom"))
	if err != nil || !slices.Equal(seen, []string{s.path("/seen/egress.prom")}) {
		t.Fatalf("the node exporter would read %q, %v", seen, err)
	}
	if diff := cmp.Diff(old, s.read("/seen/egress.prom")); diff != "" {
		t.Errorf("it is changed in place, -before +after:\n%s", diff)
	}
}

// TestReconfigureReportsItsFailure: a Squid that cannot be told to read its file is
// reported.
func TestReconfigureReportsItsFailure(t *testing.T) {
	s := newSyncing(t, impatient)
	s.program("systemctl", `[ "$1" != kill ] || exit 1`)
	s.publish(conf(s.listen(1, 0), "a1", ""))
	output, _ := s.sync()
	if !strings.Contains(output, "Squid cannot be told to reread its file") || strings.Contains(output, "squid.conf is live") {
		t.Errorf("it prints %q", output)
	}
}
