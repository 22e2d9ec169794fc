package controller

import (
	"context"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// statusDelay is how long a tenant's status may lag behind a change of its
// namespaces and policies.
const statusDelay = 200 * time.Millisecond

// enqueueLater maps events as handler.EnqueueRequestsFromMapFunc does, but adds
// the requests after statusDelay. All requests for an object that arrive
// meanwhile become one. A change of 1,000 namespaces thus costs some statuses a
// second, of which each compares every namespace of the tenant; otherwise it
// would cost one for each namespace, and the API server would be busy with them.
func enqueueLater(requests handler.MapFunc) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	enqueue := func(ctx context.Context, q queue, objects ...client.Object) {
		for _, object := range objects {
			for _, request := range requests(ctx, object) {
				q.AddAfter(request, statusDelay)
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { enqueue(ctx, q, e.Object) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) { enqueue(ctx, q, e.ObjectOld, e.ObjectNew) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { enqueue(ctx, q, e.Object) },
	}
}
