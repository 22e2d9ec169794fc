package environment

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"egress.scw/cloudinit/squid"
	"egress.scw/hack/local/helm"
	"egress.scw/hack/local/images"
)

// ClosedDNSAddress is the address of the chart's DNS server, in the range of Services.
const ClosedDNSAddress = "10.96.0.11"

// Release is the webhook's installation, with the values that bootstrap has
// written. Added are images, which bootstrap does not know, because there is no
// registry, and the DNS server for tenants with dns Closed.
func (e *Environment) Release() (helm.Release, error) {
	repository, tag, _ := strings.Cut(coreDNSImage, ":")
	chart, set := filepath.Join(e.Repository, "charts/egress-webhook"), []string{
		"image.repository=" + images.Webhook,
		"dns.closed.address=" + ClosedDNSAddress, "dns.closed.image.repository=" + repository, "dns.closed.image.tag=" + tag,
	}
	if e.released != nil {
		chart = e.released.chart // its default tag is the release's
	} else {
		set = append(set, "image.tag="+imageTag, "sidecar.image.tag="+imageTag)
	}
	values, err := helm.LoadValues(e.valuesFile(), set...)
	return helm.Release{
		Kubeconfig: e.Kubeconfig(),
		Name:       "egress-webhook", Namespace: "egress-system",
		Chart:  chart,
		Wait:   true,
		Values: values,
	}, err
}

// answerPatience bounds the time in which Kubectl repeats a command. cert-manager may
// not have written the authority into the webhook's configuration yet.
const answerPatience = 2 * time.Minute

// Kubectl runs kubectl with the kubeconfig that bootstrap has written. It repeats a
// command that a server did not get: see isUnanswered.
func (e *Environment) Kubectl(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	var input []byte
	if stdin != nil {
		var err error
		if input, err = io.ReadAll(stdin); err != nil {
			return "", err
		}
	}
	args = append([]string{"--kubeconfig=" + e.Kubeconfig()}, args...)
	for deadline := time.Now().Add(answerPatience); ; {
		out, err := e.Cluster.Kubectl(ctx, bytes.NewReader(input), args...)
		if err == nil || !isUnanswered(err) || time.Now().After(deadline) {
			return out, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return out, err
		}
	}
}

// isUnanswered reports whether an error of kubectl says that nothing was changed,
// because a server did not answer in time, as on a busy machine, or does not run yet: the
// webhook, or the API server or the kubelet before they got a request.
func isUnanswered(err error) bool {
	text := err.Error()
	return strings.Contains(text, "failed calling webhook") || strings.Contains(text, "TLS handshake timeout")
}

// Apply applies manifests server-side.
func (e *Environment) Apply(ctx context.Context, manifests string) error {
	_, err := e.Kubectl(ctx, strings.NewReader(manifests), "apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}

// AuditLine is a line of the proxy's audit log.
type AuditLine struct {
	squid.AuditRecord
	// Text is the line as Squid wrote it.
	Text string
}

// Audit returns the first proxy machine's log lines from a position of its audit log on,
// and the position behind the last one.
func (e *Environment) Audit(from int64) (lines []AuditLine, next int64, err error) {
	return e.AuditOf(1, from)
}

// AuditOf is Audit of a proxy machine, from 1 on.
func (e *Environment) AuditOf(place int, from int64) (lines []AuditLine, next int64, err error) {
	name := e.AuditLogOf(place)
	file, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, from, nil // no requests yet
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
			return lines, next, fmt.Errorf("%s, at byte %d: %w", name, next, err)
		}
		lines = append(lines, parsed)
		next += int64(len(line))
	}
}

// ApplyNamespace creates a namespace in which pods can be created. If tenant is not
// empty, the namespace gets its label.
func (e *Environment) ApplyNamespace(ctx context.Context, name, tenant string) error {
	labels := "{}"
	if tenant != "" {
		labels = "{egress.scw/tenant: " + tenant + "}"
	}
	manifest := fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: %s}\n", name, labels)
	if err := e.Apply(ctx, manifest); err != nil {
		return err
	}
	// The API server refuses pods until a controller has made their ServiceAccount.
	_, err := e.Kubectl(ctx, nil, "--namespace="+name, "wait", "--for=create", "serviceaccount/default", "--timeout=300s")
	return err
}
