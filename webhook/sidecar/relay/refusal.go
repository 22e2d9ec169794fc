package relay

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/sidecar/metrics"
)

// Refusal is the reason for which a request has no result, and the cure.
type Refusal struct {
	// Status is the status of the answer, the proxy's or the sidecar's own.
	Status       int
	Reason, Cure string
	verdict      metrics.Verdict
}

// Error implements error.
func (r *Refusal) Error() string { return r.Reason + "; " + r.Cure }

func noMachines(problem error) *Refusal {
	return &Refusal{
		Status: http.StatusServiceUnavailable, verdict: metrics.Failed,
		Reason: "the sidecar has no usable files of the Secret " + names.SidecarName + ": " + oneLine(problem),
		Cure:   "see the EgressTenant's condition Ready and the Certificate of the tenant; the sidecar reads the files as soon as they are there",
	}
}

func unreachable(err error) *Refusal {
	return &Refusal{
		Status: http.StatusServiceUnavailable, verdict: metrics.Failed,
		Reason: "no proxy machine answered: " + oneLine(err),
		Cure:   "see the state of the machines with: bootstrap status; requests succeed again as soon as one answers",
	}
}

// errorPage is the header in which Squid names the reason of an answer of its own.
const errorPage = "X-Squid-Error"

// isOwn reports whether the answer to a plain request is the machine's own, and not that
// of the target. Squid adds the revision to each answer of a target; HAProxy does not.
func isOwn(status int, header http.Header) bool {
	return header.Get(errorPage) != "" || status >= 400 && header.Get(names.HeaderRevision) == ""
}

// explain describes an answer of the machine that is not a success.
func explain(status int, header http.Header) *Refusal {
	page, _, _ := strings.Cut(header.Get(errorPage), " ")
	switch reason := header.Get(names.HeaderReason); {
	case page != "" && status == http.StatusForbidden:
		return &Refusal{
			Status: status, verdict: metrics.Denied, Reason: "the rules of the tenant do not permit the target",
			Cure: "list the domain and the port in spec.allow of the EgressTenant; the proxy's audit log has the rule",
		}
	case page != "":
		return &Refusal{
			Status: status, verdict: metrics.Failed, Reason: "the proxy could not reach the target (" + page + ")",
			Cure: "see whether the target answers, and whether its name exists in public DNS",
		}
	case status == http.StatusForbidden:
		return &Refusal{
			Status: status, verdict: metrics.Denied, Reason: "the machine refused the tenant's certificate (" + reason + ")",
			Cure: "if the tenant is unknown, run bootstrap apply, so that the machines serve it; if the certificate has expired, see the tenant's Certificate",
		}
	case status == http.StatusBadRequest:
		return &Refusal{
			Status: status, verdict: metrics.Failed, Reason: "the machine could not read the request",
			Cure: "let the program send a smaller header: all fields together have at most 15 KiB",
		}
	case reason != "":
		return &Refusal{
			Status: status, verdict: metrics.Failed, Reason: "the machine refused the request (" + reason + ")",
			Cure: "if the reason is connections, the tenant has the maximum number of them on the machine: let its programs close those that they do not use",
		}
	}
	return &Refusal{
		Status: status, verdict: metrics.Failed, Reason: "the proxy does not run on any machine that answered",
		Cure: "see the state of the machines with: bootstrap status",
	}
}

// refuse answers a request with a refusal of the sidecar itself.
func (r *Relay) refuse(w http.ResponseWriter, kind metrics.Kind, target string, refused Refusal) {
	r.record(kind, target, refused)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(refused.Status)
	_, _ = fmt.Fprintf(w, "egress sidecar: %s\nCure: %s\n", refused.Reason, refused.Cure) // the client may leave
}

// passRefusal records an answer of the proxy, and passes its header on.
func (r *Relay) passRefusal(w http.ResponseWriter, kind metrics.Kind, target string, status int, header http.Header) {
	r.record(kind, target, *explain(status, header))
	maps.Copy(w.Header(), endToEnd(header))
	w.WriteHeader(status)
}

// record counts and logs a request that has no result.
func (r *Relay) record(kind metrics.Kind, target string, refused Refusal) {
	r.metrics.Count(kind, refused.verdict)
	r.logger.Warn("a request was refused", "target", target, "status", refused.Status, "reason", refused.Reason, "cure", refused.Cure)
}

// oneLine is the text of joined errors in one line.
func oneLine(err error) string {
	if err == nil {
		return "unknown"
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

func joinHostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
