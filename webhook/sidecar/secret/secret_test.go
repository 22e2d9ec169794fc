package secret_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/sidecar/internal/machinetest"
	"egress.scw/webhook/sidecar/secret"
)

// files returns valid files of a tenant.
func files(t *testing.T, tenant string) map[string][]byte {
	t.Helper()
	_, machine := machinetest.Start(t, machinetest.NewAuthority(t))
	certificate, key := machinetest.NewAuthority(t).Tenant(t, tenant, time.Hour)
	return map[string][]byte{
		names.SidecarConfigKey: machinetest.File(t, &sidecar.Config{Tenant: tenant, Machines: []sidecar.Machine{machine}}), names.SidecarCertificateKey: certificate, names.SidecarPrivateKeyKey: key,
	}
}

// TestVersions: the files of a volume are exchanged as kubelets do it, and each
// version is reported once.
func TestVersions(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	type report struct {
		tenant string
		err    error
	}
	reports := make(chan report, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go secret.Watch(ctx, folder, func(content *secret.Content, err error) {
		r := report{err: err}
		if content != nil {
			r.tenant = content.Config.Tenant
		}
		reports <- r
	})
	if first := <-reports; !errors.Is(first.err, secret.ErrMissing) || !strings.Contains(first.err.Error(), "config.json is missing\ntls.crt is missing\ntls.key is missing") {
		t.Errorf("an empty folder: %v", first.err)
	}
	machinetest.Mount(t, folder, "1", files(t, "client-a"))
	if second := <-reports; second.tenant != "client-a" || second.err != nil {
		t.Errorf("%+v", second)
	}
	broken := files(t, "client-a")
	broken[names.SidecarConfigKey] = []byte(`{"tenant": "client-a"}`)
	broken[names.SidecarPrivateKeyKey] = []byte("x")
	machinetest.Mount(t, folder, "2", broken)
	if third := <-reports; third.err == nil || !strings.Contains(third.err.Error(), "config.json: machines is missing\ntls.crt and tls.key: ") {
		t.Errorf("%+v", third)
	}
	foreign := files(t, "client-b")
	foreign[names.SidecarConfigKey] = files(t, "client-a")[names.SidecarConfigKey]
	machinetest.Mount(t, folder, "3", foreign)
	if fourth := <-reports; fourth.err == nil || !strings.Contains(fourth.err.Error(), `and not of the tenant "client-a"`) {
		t.Errorf("%+v", fourth)
	}
	time.Sleep(5 * time.Second) // two readings more
	select {
	case more := <-reports:
		t.Errorf("reported again: %+v", more)
	default:
	}
}

// TestPlainFolder: a folder that is no volume is read as well.
func TestPlainFolder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, content := range files(t, "client-a") {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if content, _, err := secret.Load(folder); err != nil || content.Config.Tenant != "client-a" {
		t.Errorf("%+v, %v", content, err)
	}
}
