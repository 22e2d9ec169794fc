package scwfake

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// object is a JSON object. The wire form of each resource is an object that is
// built in one place, next to the resource.
type object map[string]any

// apiError is a refusal in the form of the API. The SDK derives the type of an error
// from the field "type" of the body alone. The status is the recorded one.
type apiError struct {
	status int
	body   object
}

// Error makes apiError an error.
func (e *apiError) Error() string {
	body, err := json.Marshal(e.body)
	if err != nil {
		return fmt.Sprintf("%d", e.status)
	}
	return fmt.Sprintf("%d %s", e.status, body)
}

// notFound is recorded for servers, volumes, gateways and clusters.
func notFound(resource, id string) *apiError {
	return &apiError{http.StatusNotFound, object{
		"type": "not_found", "message": "resource is not found",
		"resource": resource, "resource_id": id,
	}}
}

// unknownResource is the older form that the Instance API has for some
// resources. Reconstructed from the SDK, which reads the ID out of the message.
func unknownResource(resource, id string) *apiError {
	return &apiError{http.StatusNotFound, object{
		"type": "unknown_resource", "message": fmt.Sprintf("%s %q not found", resource, id),
	}}
}

// untyped is the registry's form of an error: a message without a type, which the
// SDK returns as its plain ResponseError. Recorded for status 404.
func untyped(status int, message string) *apiError {
	return &apiError{status, object{"message": message}}
}

// invalidArgument has the reason "required", "format" or "constraint".
// Reconstructed from the SDK.
func invalidArgument(name, reason, help string) *apiError {
	return &apiError{http.StatusBadRequest, object{
		"type": "invalid_arguments", "message": "invalid argument(s)",
		"details": []object{{"argument_name": name, "reason": reason, "help_message": help}},
	}}
}

// invalidRequest is the Instance API's form of a refusal. The SDK returns it as an
// InvalidArgumentsError if it has a field, and as a plain ResponseError otherwise.
// Reconstructed from the SDK.
func invalidRequest(field, message string) *apiError {
	body := object{"type": "invalid_request_error", "message": message}
	if field != "" {
		body["message"] = "Validation Error"
		body["fields"] = object{field: []string{message}}
	}
	return &apiError{http.StatusBadRequest, body}
}

// transientState is recorded for a gateway that is being configured.
func transientState(resource, id, state string) *apiError {
	return &apiError{http.StatusConflict, object{
		"type": "transient_state", "message": "resource is in a transient state",
		"resource": resource, "resource_id": id, "current_state": state,
	}}
}

// stillInUse is the 412 for a resource that other resources use. Reconstructed from
// the error of a Private Network that is not empty.
func stillInUse(help string) *apiError {
	return precondition("resource_still_in_use", help)
}

// precondition is recorded, with another precondition, for Secret Manager.
func precondition(name, help string) *apiError {
	return &apiError{http.StatusPreconditionFailed, object{
		"type": "precondition_failed", "message": "precondition is not respected",
		"precondition": name, "help_message": help,
	}}
}

// conflict has a type that the SDK does not know, so the SDK returns a plain
// ResponseError. The SDK's tests contain it for security groups.
func conflict(message string) *apiError {
	return &apiError{http.StatusConflict, object{"type": "conflict", "message": message}}
}

// quotasExceeded is in the SDK's end-to-end tests.
func quotasExceeded(resource string) *apiError {
	return &apiError{http.StatusForbidden, object{
		"type": "quotas_exceeded", "message": "quota(s) exceeded for this resource",
		"details": []object{{"resource": resource, "quota": 10, "current": 10}},
	}}
}

// quotaExceededLegacy is in the SDK's tests, for the Instance API.
func quotaExceededLegacy(resource string) *apiError {
	return &apiError{http.StatusForbidden, object{
		"type": "invalid_request_error", "message": "Quota exceeded for this resource.", "resource": resource,
	}}
}

// outOfStock has the body of the SDK's end-to-end tests. Its status is in no
// recording; 409 is a guess.
func outOfStock(resource string) *apiError {
	return &apiError{http.StatusConflict, object{
		"type": "out_of_stock", "message": "resource is out of stock", "resource": resource,
	}}
}

// permissionsDenied is recorded for a snapshot.
func permissionsDenied(action, resource string) *apiError {
	return &apiError{http.StatusForbidden, object{
		"type": "permissions_denied", "message": "insufficient permissions",
		"details": []object{{"action": action, "resource": resource}},
	}}
}

// deniedAuthentication has the reason "invalid_argument" or "not_found".
// Reconstructed from the SDK.
func deniedAuthentication(reason string) *apiError {
	return &apiError{http.StatusUnauthorized, object{
		"type": "denied_authentication", "message": "authentication is denied",
		"method": "api_key", "reason": reason,
	}}
}
