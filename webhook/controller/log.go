package controller

import (
	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// logConstructor returns a constructor of loggers for a controller, by its name,
// of objects of a kind. The object's name has the kind as its key, which is the key that
// the admission handler logs it under. controller-runtime's own keys would be
// "name", and an empty "namespace" for objects that are not in a namespace.
func logConstructor(mgr ctrl.Manager, controller, kind string) func(*ctrl.Request) logr.Logger {
	log := mgr.GetLogger().WithValues("controller", controller)
	return func(request *ctrl.Request) logr.Logger {
		if request == nil {
			return log
		}
		return log.WithValues(kind, request.Name)
	}
}
