package scaleway

import (
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/scw"
)

// The SDK derives the type of an error from the field "type" of its body. Such
// errors have no status. The errors of some products have no type, and arrive as a
// ResponseError. Each function here recognises both.

func isNotFound(err error) bool {
	var typed *scw.ResourceNotFoundError
	var plain *scw.ResponseError
	// An unusual message of the Instance API makes the SDK return a nil pointer of
	// this type as the error.
	return errors.As(err, &typed) || (errors.As(err, &plain) && plain.StatusCode == http.StatusNotFound)
}

// isTransient reports whether the API refused a request because of a transient
// state.
func isTransient(err error) bool {
	var typed *scw.TransientStateError
	return errors.As(err, &typed)
}

// isInUse reports whether the API refused a request because another resource
// still uses the resource.
func isInUse(err error) bool {
	var precondition *scw.PreconditionFailedError
	var plain *scw.ResponseError
	return errors.As(err, &precondition) ||
		(errors.As(err, &plain) && (plain.StatusCode == http.StatusConflict || plain.StatusCode == http.StatusPreconditionFailed))
}

// isDenied reports whether the API rejected the credentials.
func isDenied(err error) bool {
	var denied *scw.DeniedAuthenticationError
	return errors.As(err, &denied)
}

// isTaken reports whether the API refused a name because of a resource that has it
// already. How it answers is not recorded, so each of the possible forms counts: a
// conflict, a precondition, or the argument "name" itself.
func isTaken(err error) bool {
	if invalid, ok := errors.AsType[*scw.InvalidArgumentsError](err); ok {
		return slices.ContainsFunc(invalid.Details, func(detail scw.InvalidArgumentsErrorDetail) bool {
			return detail.ArgumentName == "name" && detail.Reason != "format" && detail.Reason != "required"
		})
	}
	return isInUse(err)
}

// isUncertain reports whether a request may have taken effect although there is no
// usable answer.
func isUncertain(err error) bool {
	var uncertain *uncertainError
	return errors.As(err, &uncertain)
}

// errIncomplete is a successful answer without the resource.
var errIncomplete = errors.New("the API's answer lacks the resource")

// messageOf returns err.Error(), also where that would panic.
func messageOf(err error) string {
	if v := reflect.ValueOf(err); v.Kind() == reflect.Pointer && v.IsNil() {
		return "resource is not found"
	}
	return err.Error()
}

// brief returns the first line of an error, for progress.
func brief(err error) string {
	line, _, _ := strings.Cut(strings.TrimPrefix(messageOf(err), "scaleway-sdk-go: "), "\n")
	return line
}
