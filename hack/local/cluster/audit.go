package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"sigs.k8s.io/yaml"
)

// writeAuditPolicy writes the policy by which the API server records the requests
// of the audited user, once they are answered, and no others.
func (c *Cluster) writeAuditPolicy() error {
	if c.AuditedUser == "" {
		return nil
	}
	policy := auditv1.Policy{
		TypeMeta:   metav1.TypeMeta{APIVersion: auditv1.SchemeGroupVersion.String(), Kind: "Policy"},
		OmitStages: []auditv1.Stage{auditv1.StageRequestReceived, auditv1.StageResponseStarted},
		Rules: []auditv1.PolicyRule{
			{Level: auditv1.LevelMetadata, Users: []string{c.AuditedUser}},
			{Level: auditv1.LevelNone},
		},
	}
	content, err := yaml.Marshal(policy)
	if err != nil {
		return err
	}
	return os.WriteFile(c.auditPolicy(), content, 0o600)
}

func (c *Cluster) auditPolicy() string { return c.path("audit-policy.yaml") }

func (c *Cluster) auditLog() string { return c.path("audit.log") }

// Audit returns the audited user's requests that the API server has recorded since
// the position, and the position after them. The first position is 0.
func (c *Cluster) Audit(position int64) ([]auditv1.Event, int64, error) {
	file, err := os.Open(c.auditLog())
	if errors.Is(err, os.ErrNotExist) {
		return nil, position, nil // no requests yet
	}
	if err != nil {
		return nil, position, err
	}
	defer file.Close()
	if _, err := file.Seek(position, io.SeekStart); err != nil {
		return nil, position, err
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return nil, position, err
	}
	content = content[:bytes.LastIndexByte(content, '\n')+1] // the last line may be incomplete
	var events []auditv1.Event
	for line := range bytes.Lines(content) {
		var event auditv1.Event
		if err := json.Unmarshal(line, &event); err != nil {
			return nil, position, fmt.Errorf("reading %s: %w", c.auditLog(), err)
		}
		events = append(events, event)
	}
	return events, position + int64(len(content)), nil
}
