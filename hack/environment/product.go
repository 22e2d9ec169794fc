package environment

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"egress.scw/cloudinit/squid"
	"egress.scw/hack/cluster"
	"egress.scw/hack/release"
)

// Release is the webhook's installation.
func (e *Environment) Release() release.Release {
	tenants := make([]any, 0, len(Tenants()))
	for _, tenant := range Tenants() {
		tenants = append(tenants, map[string]any{
			"name": tenant.Name, "path": string(tenant.Path), "proxy": map[string]any{"port": int(tenant.Proxy.Port)},
		})
	}
	return release.Release{
		Kubeconfig: e.Cluster.Kubeconfig("admin"),
		Name:       "egress-webhook", Namespace: "egress-system",
		Chart: filepath.Join(e.Repository, "charts/egress-webhook"),
		Wait:  true,
		Values: map[string]any{
			"image":   map[string]any{"repository": webhookRepository, "tag": webhookTag},
			"proxy":   map[string]any{"addresses": []any{e.Plan.ProxyPrivate.String()}},
			"cluster": map[string]any{"cidrs": []any{cluster.ServiceCIDR, cluster.PodCIDR, e.Plan.PrivateNetwork.String()}},
			"tenants": tenants,
		},
	}
}

// AuditLine is a line of the proxy's audit log.
type AuditLine struct {
	squid.AuditRecord
	// Text is the line as Squid wrote it.
	Text string
}

// Audit returns what the proxy noted, from the given position of its log on,
// and the position behind it.
func (e *Environment) Audit(from int64) (lines []AuditLine, next int64, err error) {
	file, err := os.Open(e.AuditLog())
	if errors.Is(err, os.ErrNotExist) {
		return nil, from, nil // nothing asked for yet
	}
	if err != nil {
		return nil, from, err
	}
	defer file.Close()
	if _, err := file.Seek(from, 0); err != nil {
		return nil, from, err
	}
	next = from
	reader := bufio.NewReader(file)
	for {
		line, err := reader.ReadBytes('\n')
		if err != nil {
			return lines, next, nil // the last line may not be complete yet
		}
		parsed := AuditLine{Text: string(bytes.TrimSpace(line))}
		if err := json.Unmarshal(line, &parsed.AuditRecord); err != nil {
			return lines, next, fmt.Errorf("%s, at byte %d: %w", e.AuditLog(), next, err)
		}
		lines = append(lines, parsed)
		next += int64(len(line))
	}
}

// ApplyNamespace makes a namespace, of a tenant if one is named.
func (e *Environment) ApplyNamespace(ctx context.Context, name, tenant string) error {
	labels := "{}"
	if tenant != "" {
		labels = "{egress.scw/tenant: " + tenant + "}"
	}
	return e.Cluster.Apply(ctx, fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: %s}\n", name, labels))
}
