package scaleway

import (
	"net/http"
	"strings"
	"testing"

	"egress.scw/bootstrap/stack"
)

// However the API refuses a name that is in use, the error names the field. A refusal
// for another reason does not.
func TestRefusedRegistryName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		body   string
		taken  bool
	}{
		{"conflict", http.StatusConflict, bodyConflict, true},
		{"conflict without a type", http.StatusConflict, `{"message": "Namespace name is already taken"}`, true},
		{"argument", http.StatusBadRequest, bodyTaken, true},
		{"precondition", http.StatusPreconditionFailed, bodyPrecondition, true},
		{"form", http.StatusBadRequest, bodyBadName, false},
		{"quota", http.StatusForbidden, bodyQuota, false},
		{"permission", http.StatusForbidden, bodyPermissions, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cloud := at(t.Context(), t, impatient(), func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					answer(http.StatusOK, `{"namespaces": []}`)(w, r)
					return
				}
				answer(c.status, c.body)(w, r)
			})
			err := cloud.Create(t.Context(), &stack.Registry{ResourceMeta: stack.ResourceMeta{Name: "images"}}, silent)
			if err == nil || strings.Contains(err.Error(), "spec.registry.name: the name images is taken in fr-par, maybe by another organization") != c.taken {
				t.Errorf("got %v", err)
			}
		})
	}
}
