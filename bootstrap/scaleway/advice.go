package scaleway

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// explainedError is an error of the API together with advice.
type explainedError struct {
	message string
	cause   error
}

func (e *explainedError) Error() string { return e.message }

func (e *explainedError) Unwrap() error { return e.cause }

func explained(cause error, format string, args ...any) error {
	return &explainedError{fmt.Sprintf(format, args...) + " (" + messageOf(cause) + ")", cause}
}

// explain adds advice to an error of the API about a resource.
func (c *Cloud) explain(ctx context.Context, err error, resource stack.Resource) error {
	if err == nil {
		return nil
	}
	if sold, ok := errors.AsType[*scw.OutOfStockError](err); ok {
		return explained(err, "%s is sold out in %s: %s", sold.Resource, cmp.Or(stack.ZoneOf(resource), string(c.zone)), c.alternatives(ctx, resource))
	}
	return explain(err, resource.Key().Kind)
}

// explain adds advice to an error of the API about a kind of resource. It leaves
// an error alone that is explained already: the operation on a part of a resource
// that lacks a permission, for example, knows better which permission it is.
func explain(err error, kind stack.Kind) error {
	var (
		done    *explainedError
		denied  *scw.PermissionsDeniedError
		auth    *scw.DeniedAuthenticationError
		quota   *scw.QuotasExceededError
		locked  *scw.ResourceLockedError
		silence *unreachableError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &silence):
		return silence // without the SDK's words about the request
	case errors.As(err, &done):
		return err
	case errors.As(err, &denied):
		if set := rowOf(kind).permission; set != "" {
			return explained(err, "the API key lacks a permission: its IAM policy needs %s for this project", set)
		}
		return explained(err, "the API key lacks a permission")
	case errors.As(err, &auth):
		return explained(err, "the API does not accept the credentials: check %s and %s, and that the key has not expired",
			scw.ScwAccessKeyEnv, scw.ScwSecretKeyEnv)
	case errors.As(err, &quota):
		return explained(err, "the organization's quota is used up: delete resources, or have it raised in Scaleway's console (Organization, Quotas)")
	case errors.As(err, &locked):
		return explained(err, "Scaleway has locked it: ask Scaleway's support for the reason")
	case isNotFound(err): // its own Error would panic if it is a nil pointer
		return &explainedError{messageOf(err), err}
	default:
		return err
	}
}
