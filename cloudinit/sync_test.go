package cloudinit

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/names"
)

// syncing is a folder in which egress-sync runs, with a Squid that only says
// that it has read a file. The programs note their calls.
type syncing struct {
	t   *testing.T
	dir string
}

// newSyncing has Squid take patience, in seconds, to serve what it is given.
func newSyncing(t *testing.T, patience string) syncing {
	t.Helper()
	s := syncing{t, t.TempDir()}
	config := render(t, validVM())
	values := strings.NewReplacer("172.16.28.8", "127.0.0.1", syncLog, s.path("log/sync.log")).Replace(contentOf(t, config, valuesFile))
	common := contentOf(t, config, "/usr/local/lib/egress/common.sh")
	script := contentOf(t, config, scriptFolder+"/egress-sync")
	for _, part := range []string{"/etc/squid/squid.conf", "/run/egress", "SECONDS + 30"} {
		if !strings.Contains(script, part) {
			t.Fatalf("there is no %s in egress-sync", part)
		}
	}
	s.write("values", values)
	s.write("common.sh", strings.ReplaceAll(common, valuesFile, s.path("values"))+fmt.Sprintf(
		"\nmetadata() {\n  [ ! -e %[1]s/silent ] || { echo nobody answers >&2; return 1; }\n  cat %[1]s/user-data\n}\n", s.dir))
	s.write("egress-sync", strings.NewReplacer("/usr/local/lib/egress/common.sh", s.path("common.sh"),
		"/etc/squid/squid.conf", s.path("squid.conf"), "/run/egress", s.path("run"), "SECONDS + 30", "SECONDS + "+patience).Replace(script))
	note := fmt.Sprintf("#!/bin/sh\necho \"${0##*/} $*\" >> %s\n", s.path("calls"))
	s.write("systemctl", note)
	s.write("chown", note)
	s.write("squid", note+fmt.Sprintf(`cd %s
[ "$1 $2" != "-k parse" ] || ! grep -q no_such_directive "$4" || exit 1
[ "$1 $2" != "-k reconfigure" ] || grep -q unserved squid.conf || cp squid.conf serving
`, s.dir))
	s.write("squid.conf", "")
	s.write("serving", "")
	return s
}

func (s syncing) path(name string) string { return filepath.Join(s.dir, name) }

func (s syncing) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

func (s syncing) read(name string) string {
	s.t.Helper()
	content, err := os.ReadFile(s.path(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(content)
}

// listen opens ports that answer with the revision in the file that Squid
// serves, after a while.
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
		revision := regexp.MustCompile(`(?m)^acl tag_` + port + ` .* revision=(.*)$`)
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

// conf is a squid.conf for these ports.
func conf(ports []string, revision, more string) string {
	text := "http_port 127.0.0.1:3128 name=manager_port\n" + more + "\n"
	for _, port := range ports {
		text += fmt.Sprintf("http_port 127.0.0.1:%s name=client-%[1]s\nacl tag_%[1]s annotate_transaction tenant=client-%[1]s revision=%s\n", port, revision)
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

// run returns what egress-sync prints, and what it calls of Squid. It must end
// within the time that Squid has.
func (s syncing) run() (said string, squid []string) {
	s.t.Helper()
	s.write("calls", "")
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, "bash", s.path("egress-sync"))
	command.Env = append(os.Environ(), "PATH="+s.dir+":"+os.Getenv("PATH"))
	output, err := command.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %s", err, output)
	}
	for call := range strings.SplitSeq(s.read("calls"), "\n") {
		if strings.HasPrefix(call, "squid -k ") {
			squid = append(squid, strings.Fields(call)[2])
		}
	}
	return string(output), squid
}

// age makes the refusal older.
func (s syncing) age(by time.Duration) {
	s.t.Helper()
	then := time.Now().Add(-by)
	if err := os.Chtimes(s.path("run/refused"), then, then); err != nil {
		s.t.Fatal(err)
	}
}

// reported is what the last line for metrics says of a value.
func (s syncing) reported() string {
	s.t.Helper()
	lines := strings.Split(strings.TrimSpace(s.read("log/sync.log")), "\n")
	return strings.Join(strings.Fields(lines[len(lines)-1])[1:3], " ")
}

// TestSyncBringsWhatIsNew: once, and as the file to go back to as well.
func TestSyncBringsWhatIsNew(t *testing.T) {
	s := newSyncing(t, "30")
	want := conf(s.listen(2, 0), "a1", "")
	s.publish(want)
	said, squid := s.run()
	if diff := cmp.Diff([]string{"parse", "reconfigure"}, squid); diff != "" || !strings.Contains(said, "squid.conf is live") {
		t.Fatalf("it says %q; calls of Squid, -want +got:\n%s", said, diff)
	}
	for _, name := range []string{"squid.conf", "squid.conf.previous"} {
		if diff := cmp.Diff(want, s.read(name)); diff != "" {
			t.Errorf("%s, -want +got:\n%s", name, diff)
		}
	}
	if said, squid := s.run(); said != "" || squid != nil {
		t.Errorf("with nothing new, it says %q and calls %q", said, squid)
	}
	if got := s.reported(); got != "fetched=1 refused=0" {
		t.Error(got)
	}
}

// TestSyncAsksAllPortsInTime: as many as there may be, of a machine that takes
// half a second for each answer.
func TestSyncAsksAllPortsInTime(t *testing.T) {
	s := newSyncing(t, "30")
	s.publish(conf(s.listen(names.TenantPortMax-names.TenantPortMin+1, time.Second/2), "a1", ""))
	if said, _ := s.run(); !strings.Contains(said, "squid.conf is live") {
		t.Errorf("it says %q", said)
	}
}

// TestSyncRefusalStays: while there is no value to be had, which is told once.
func TestSyncRefusalStays(t *testing.T) {
	s := newSyncing(t, "30")
	s.publish(conf(nil, "", "no_such_directive"))
	if said, squid := s.run(); !strings.Contains(said, "refused") || len(squid) != 1 || s.reported() != "fetched=1 refused=1" {
		t.Fatalf("it says %q, calls %q and reports %s", said, squid, s.reported())
	}
	s.write("silent", "")
	for _, want := range []string{"<4>egress-sync: no value to be had, the old squid.conf stays: nobody answers\n", ""} {
		if said, _ := s.run(); said != want || s.reported() != "fetched=0 refused=1" {
			t.Errorf("it says %q and reports %s, want %q", said, s.reported(), want)
		}
	}
	if err := os.Remove(s.path("silent")); err != nil {
		t.Fatal(err)
	}
	if said, squid := s.run(); said != "" || squid != nil {
		t.Errorf("of the same value, it says %q and calls %q", said, squid)
	}
}

// TestSyncTriesAgain: what cannot be parsed, in 10 minutes, because that costs
// nobody anything; what Squid does not serve, in an hour; another value, at once.
func TestSyncTriesAgain(t *testing.T) {
	s := newSyncing(t, "1")
	ports := s.listen(1, 0)
	good := conf(ports, "a1", "")
	s.publish(good)
	s.run()
	for _, step := range []struct {
		name, conf string
		age        time.Duration
		want       []string
	}{
		{"does not parse", conf(ports, "b1", "no_such_directive"), 0, []string{"parse"}},
		{"9 minutes later", "", 9 * time.Minute, nil},
		{"11 minutes later", "", 11 * time.Minute, []string{"parse"}},
		{"is not served", conf(ports, "c1", "# unserved"), 0, []string{"parse", "reconfigure", "reconfigure"}},
		{"11 minutes later", "", 11 * time.Minute, nil},
		{"59 minutes later", "", 59 * time.Minute, nil},
		{"61 minutes later", "", 61 * time.Minute, []string{"parse", "reconfigure", "reconfigure"}},
	} {
		if step.conf != "" {
			s.publish(step.conf)
		} else {
			s.age(step.age)
		}
		said, squid := s.run()
		if diff := cmp.Diff(step.want, squid); diff != "" {
			t.Errorf("%s: it says %q; calls of Squid, -want +got:\n%s", step.name, said, diff)
		}
		if got := s.reported(); got != "fetched=1 refused=1" {
			t.Errorf("%s: %s", step.name, got)
		}
		if diff := cmp.Diff(good, s.read("squid.conf")); diff != "" {
			t.Errorf("%s: squid.conf, -want +got:\n%s", step.name, diff)
		}
	}
	s.publish(conf(ports, "d1", ""))
	if said, _ := s.run(); !strings.Contains(said, "squid.conf is live") || s.reported() != "fetched=1 refused=0" {
		t.Errorf("of another value it says %q and reports %s", said, s.reported())
	}
}

// TestSyncRefusesPortsWithoutRevision: of which it could not tell whether they
// are live.
func TestSyncRefusesPortsWithoutRevision(t *testing.T) {
	ports := []string{"3129", "3130"}
	for name, text := range map[string]string{
		"none has one": strings.ReplaceAll(conf(ports, "a1", ""), "annotate", "other"),
		"one has none": strings.ReplaceAll(conf(ports, "a1", ""), "tag_3130", "other"),
		"without host": strings.ReplaceAll(conf(ports, "a1", "http_port 3131 name=client-c"), "127.0.0.1:", ""),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSyncing(t, "1")
			s.publish(text)
			if said, squid := s.run(); !strings.Contains(said, "tells no revision") || squid != nil || s.reported() != "fetched=1 refused=1" {
				t.Errorf("it says %q, calls %q and reports %s", said, squid, s.reported())
			}
		})
	}
}

// TestSyncFilesSurvivePowerLoss: what takes another file's place has been
// written to the disk before.
func TestSyncFilesSurvivePowerLoss(t *testing.T) {
	s := newSyncing(t, "30")
	s.write("sync", fmt.Sprintf("#!/bin/sh\necho \"sync $*\" >> %s/calls\n", s.dir))
	s.write("mv", fmt.Sprintf("#!/bin/sh\necho \"mv $*\" >> %s/calls\nexec /bin/mv \"$@\"\n", s.dir))
	s.publish(conf(s.listen(1, 0), "a1", ""))
	s.run()
	var got []string
	for call := range strings.SplitSeq(strings.ReplaceAll(s.read("calls"), s.dir+"/", ""), "\n") {
		if strings.Contains(call, "squid.conf") && !strings.HasPrefix(call, "squid ") && !strings.HasPrefix(call, "chown ") {
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
