package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"egress.scw/hack/local/pki"
	"egress.scw/hack/local/process"
	"egress.scw/hack/local/programs"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/sidecar"
)

// podSidecar is the product's sidecar, of a pod on the node, with its Secret.
type podSidecar struct {
	tenant, pod string
	address     string // of its HTTP proxy
	folder, log string
	authority   *pki.Authority
	versions    int // of the Secret
}

// buildSidecar builds the program.
func buildSidecar(t *testing.T) string {
	t.Helper()
	builder, err := programs.New()
	if err != nil {
		t.Fatal(err)
	}
	path, err := builder.Build(t.Context(), programs.Sidecar())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// startSidecar starts the sidecar of a pod of the tenant, without a Secret. Its port on
// the node is that of sidecars, moved by a number that no other pod has.
func (w *world) startSidecar(t *testing.T, program, tenant string, authority *pki.Authority, number int) *podSidecar {
	t.Helper()
	loopback := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port+number)) }
	name := "sidecar-" + tenant
	p := &podSidecar{
		tenant: tenant, pod: tenant + "-pod", address: loopback(names.RelayPort), folder: t.TempDir(), log: w.environment.LogFile(name), authority: authority,
	}
	if _, err := w.environment.Start(process.Command{
		Name: name, Netns: netnsNode, Path: program,
		Args: []string{"run", "--config", p.folder, "--listen", p.address, "--metrics", loopback(names.SidecarMetricsPort)},
		Env:  []string{names.EnvPodNamespace + "=" + tenant, names.EnvPodName + "=" + p.pod},
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", name, w.environment.Tail(name))
		}
	})
	return p
}

// dial connects to the sidecar, as a program of the pod does.
func (p *podSidecar) dial(ctx context.Context) (*connection, error) {
	return dial(ctx, netnsNode, p.address)
}

// mount writes the Secret with a further certificate of the tenant, as the kubelet does,
// and returns when the sidecar uses it.
func (p *podSidecar) mount(t *testing.T, machines ...*sidecars) {
	t.Helper()
	config := &sidecar.Config{Tenant: p.tenant}
	for _, m := range machines {
		config.Machines = append(config.Machines, sidecar.Machine{
			Address: netip.AddrPortFrom(netip.MustParseAddr(m.private), names.SidecarPort), Certificate: m.certificate,
		})
	}
	file, err := sidecar.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := p.authority.Issue(pki.Leaf{User: p.tenant, Group: names.CertificateOrganization, Validity: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	p.versions++
	if err := p.exchange(map[string][]byte{
		names.SidecarConfigKey: file, names.SidecarCertificateKey: issued.Public, names.SidecarPrivateKeyKey: issued.Key,
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the files in use", func() error {
		if lines := p.lines(t, "the files of the Secret are in use"); len(lines) < p.versions {
			return fmt.Errorf("%d versions were used", len(lines))
		}
		return nil
	})
}

// exchange replaces all files in one step: they are links into the folder to which the
// link ..data leads.
func (p *podSidecar) exchange(files map[string][]byte) error {
	version := fmt.Sprintf("..version-%d", p.versions)
	if err := os.Mkdir(filepath.Join(p.folder, version), 0o700); err != nil {
		return err
	}
	var errs []error
	for name, content := range files {
		errs = append(errs, os.WriteFile(filepath.Join(p.folder, version, name), content, 0o600))
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(p.folder, name)); !errors.Is(err, fs.ErrExist) {
			errs = append(errs, err)
		}
	}
	next := filepath.Join(p.folder, "..data_tmp")
	errs = append(errs, os.Symlink(version, next), os.Rename(next, filepath.Join(p.folder, "..data")))
	return errors.Join(errs...)
}

// sidecarLine is a line of the sidecar's log.
type sidecarLine struct {
	Time                time.Time
	Msg, Machine, Error string
}

// lines returns the lines of the sidecar's log with a message. Empty: all.
func (p *podSidecar) lines(t *testing.T, message string) []sidecarLine {
	t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	var found []sidecarLine
	for line := range strings.Lines(string(text)) {
		var l sidecarLine
		if json.Unmarshal([]byte(line), &l) == nil && (message == "" || l.Msg == message) {
			found = append(found, l)
		}
	}
	return found
}

// awaitPassedOver returns the line about the machine when the sidecar passes it over.
func (p *podSidecar) awaitPassedOver(t *testing.T, m *sidecars) sidecarLine {
	t.Helper()
	var last sidecarLine
	eventually(t, "the machine to be passed over", func() (err error) {
		last, err = p.state(t, m)
		if err == nil && last.Error == "" {
			err = errors.New("it is used")
		}
		return err
	})
	return last
}

// awaitUsed returns when the sidecar uses the machine, which it has passed over.
func (p *podSidecar) awaitUsed(t *testing.T, m *sidecars) {
	t.Helper()
	eventually(t, "the machine to be used", func() error {
		last, err := p.state(t, m)
		if err == nil && last.Error != "" {
			err = fmt.Errorf("it is passed over: %s", last.Error)
		}
		return err
	})
}

// state returns the last line of the sidecar's log about a machine. With an error in it,
// the machine is passed over.
func (p *podSidecar) state(t *testing.T, m *sidecars) (sidecarLine, error) {
	t.Helper()
	machine := fmt.Sprintf("%s:%d", m.private, names.SidecarPort)
	about := slices.DeleteFunc(p.lines(t, ""), func(l sidecarLine) bool { return l.Machine != machine })
	if len(about) == 0 {
		return sidecarLine{}, errors.New("no line about " + machine)
	}
	return about[len(about)-1], nil
}
