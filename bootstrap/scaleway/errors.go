package scaleway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// The SDK types an error by the "type" in its body, and such errors carry no
// status; some products' errors have no type, and arrive as ResponseError.
// Every question here looks at both.

func isNotFound(err error) bool {
	var typed *scw.ResourceNotFoundError
	var plain *scw.ResponseError
	// An unusual message of the Instance API makes the SDK return a nil
	// pointer of this type as the error.
	return errors.As(err, &typed) || (errors.As(err, &plain) && plain.StatusCode == http.StatusNotFound)
}

// isTransient says that the API refused because of a state that passes.
func isTransient(err error) bool {
	var typed *scw.TransientStateError
	return errors.As(err, &typed)
}

// isInUse says that the API refused because something else still uses the
// resource.
func isInUse(err error) bool {
	var precondition *scw.PreconditionFailedError
	var plain *scw.ResponseError
	return errors.As(err, &precondition) ||
		(errors.As(err, &plain) && (plain.StatusCode == http.StatusConflict || plain.StatusCode == http.StatusPreconditionFailed))
}

// isDenied says that the API does not know the credentials.
func isDenied(err error) bool {
	var denied *scw.DeniedAuthenticationError
	return errors.As(err, &denied)
}

// isTaken says that somebody else has the name.
func isTaken(err error) bool {
	var plain *scw.ResponseError
	return errors.As(err, &plain) && plain.StatusCode == http.StatusConflict
}

// errIncomplete is a success that tells nothing of what there is now.
var errIncomplete = errors.New("the API's answer lacks what it should tell")

func isUncertain(err error) bool {
	var uncertain *uncertainError
	return errors.As(err, &uncertain)
}

// brief is an error in a few words, for progress.
func brief(err error) string {
	text := strings.TrimPrefix(text(err), "scaleway-sdk-go: ")
	if line, _, more := strings.Cut(text, "\n"); more {
		return line
	}
	return text
}

// text is err.Error(), also where that would panic.
func text(err error) string {
	if v := reflect.ValueOf(err); v.Kind() == reflect.Pointer && v.IsNil() {
		return "resource is not found"
	}
	return err.Error()
}

// explainedError is an error of the API with what one can do about it.
type explainedError struct {
	text  string
	cause error
}

func (e *explainedError) Error() string { return e.text }

func (e *explainedError) Unwrap() error { return e.cause }

func explained(cause error, format string, args ...any) error {
	return &explainedError{fmt.Sprintf(format, args...) + " (" + text(cause) + ")", cause}
}

// explain adds to an error of the API what one can do about it.
func (c *Cloud) explain(ctx context.Context, err error, resource stack.Resource) error {
	if err == nil {
		return nil
	}
	if sold, ok := errors.AsType[*scw.OutOfStockError](err); ok {
		return explained(err, "%s is sold out in %s: %s", sold.Resource, c.zone, c.alternatives(ctx, resource))
	}
	return explain(err, resource.Key().Kind)
}

// explain leaves alone what is explained already: the part of a resource that
// lacks a permission, say, knows better which one it is.
func explain(err error, kind stack.Kind) error {
	var (
		done   *explainedError
		denied *scw.PermissionsDeniedError
		auth   *scw.DeniedAuthenticationError
		quota  *scw.QuotasExceededError
		locked *scw.ResourceLockedError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &done):
		return err
	case errors.As(err, &denied):
		if set := permissionSet(kind); set != "" {
			return explained(err, "the API key lacks a permission: its IAM policy needs %s for this project", set)
		}
		return explained(err, "the API key lacks a permission")
	case errors.As(err, &auth):
		return explained(err, "the API does not accept the credentials: check %s and %s, and that the key has not expired",
			scw.ScwAccessKeyEnv, scw.ScwSecretKeyEnv)
	case errors.As(err, &quota):
		return explained(err, "the organization's quota is used up: delete something, or have it raised in Scaleway's console (Organization, Quotas)")
	case errors.As(err, &locked):
		return explained(err, "Scaleway has locked it: ask its support why")
	case isNotFound(err): // its own text would panic if it is a nil pointer
		return &explainedError{text(err), err}
	default:
		return err
	}
}

// permissionSet is the IAM permission set that making a resource needs.
func permissionSet(kind stack.Kind) string {
	switch kind {
	case stack.KindVPC:
		return "VPCFullAccess"
	case stack.KindPrivateNetwork:
		return "PrivateNetworksFullAccess"
	case stack.KindGateway, stack.KindGatewayNetwork:
		return "VPCGatewayFullAccess"
	case stack.KindPrivateIP:
		return "IPAMFullAccess"
	case stack.KindVolume:
		return "BlockStorageFullAccess"
	case stack.KindSecurityGroup, stack.KindFlexibleIP, stack.KindAttachment, stack.KindServer, stack.KindPrivateNIC,
		stack.KindUserData, stack.KindPower:
		return "InstancesFullAccess"
	case stack.KindCluster, stack.KindPool:
		return "KubernetesFullAccess"
	case stack.KindRegistry:
		return "ContainerRegistryFullAccess"
	default:
		return ""
	}
}
