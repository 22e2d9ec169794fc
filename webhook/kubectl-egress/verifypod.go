package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/probe"
)

const (
	// probeUser is the user of the webhook's image.
	probeUser = 65532
	// probeContainer is the container whose log is the report.
	probeContainer = "probe"
	// probeSuffix is the number of random characters in the pod's name.
	probeSuffix = 8
)

// probePod returns a pod that tries the plan. It satisfies the standard "restricted".
func probePod(namespace, image string, plan probe.Plan) (*corev1.Pod, error) {
	encoded, err := json.Marshal(plan)
	if err != nil {
		return nil, err
	}
	small := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi")}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			// Not a name that the API server generates: a pod whose creation was not answered
			// is deleted by its name.
			Namespace: namespace, Name: "egress-verify-" + rand.String(probeSuffix),
			Labels: map[string]string{"app.kubernetes.io/name": "egress-verify"},
		},
		Spec: corev1.PodSpec{
			RestartPolicy:                 corev1.RestartPolicyNever,
			AutomountServiceAccountToken:  new(false),
			EnableServiceLinks:            new(false),
			TerminationGracePeriodSeconds: new(int64(0)),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(probeUser)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: probeContainer, Image: image, Args: []string{"--probe"},
				Env:       []corev1.EnvVar{{Name: probe.PlanVariable, Value: string(encoded)}},
				Resources: corev1.ResourceRequirements{Requests: small, Limits: small},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}, nil
}

// errNotDeleted is the error about a pod that could not be deleted.
var errNotDeleted = errors.New("the pod remains: delete it")

// runProbe creates the pod, returns its report, and deletes it. The error is the reason
// why there is no report, or why the pod remains (errNotDeleted).
func (c *cluster) runProbe(ctx context.Context, pod *corev1.Pod) (report *probe.Report, err error) {
	created := c.client.Create(ctx, pod)
	if isRefused(created) {
		return nil, fmt.Errorf("the pod was not admitted: %w", created)
	}
	defer func() { err = errors.Join(err, c.deleteProbe(ctx, pod)) }()
	if created != nil {
		return nil, fmt.Errorf("creating pod %s/%s: %w", pod.Namespace, pod.Name, created)
	}
	if err := c.waitEnded(ctx, pod); err != nil {
		return nil, err
	}
	log, err := c.logs(ctx, pod.Namespace, pod.Name)
	if err != nil {
		return nil, fmt.Errorf("reading the log of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	report = &probe.Report{}
	if err := json.Unmarshal(bytes.TrimSpace(log), report); err != nil {
		return nil, fmt.Errorf("pod %s/%s printed no report (an image of another version?): %q", pod.Namespace, pod.Name, shorten(log))
	}
	return report, nil
}

// isRefused reports whether the API server answered that it has not created an object.
// Without an answer, or with one that reports a fault of the server, the object may exist.
func isRefused(err error) bool {
	answer, answered := errors.AsType[*apierrors.StatusError](err)
	return answered && answer.Status().Code < http.StatusInternalServerError
}

// deleteProbe deletes the pod, also after Ctrl-C.
func (c *cluster) deleteProbe(ctx context.Context, pod *corev1.Pod) error {
	const timeout = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if err := client.IgnoreNotFound(c.client.Delete(ctx, pod)); err != nil {
		return fmt.Errorf("%w: kubectl --namespace %s delete pod %s (%w)", errNotDeleted, pod.Namespace, pod.Name, err)
	}
	return nil
}

// waitEnded waits until the pod has ended.
func (c *cluster) waitEnded(ctx context.Context, pod *corev1.Pod) error {
	const interval = 500 * time.Millisecond
	err := wait.PollUntilContextCancel(ctx, interval, true, func(ctx context.Context) (bool, error) {
		if err := c.client.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return false, err
		}
		return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed, nil
	})
	if err != nil {
		return fmt.Errorf("pod %s/%s does not end (%s): %w", pod.Namespace, pod.Name, stateOfPod(pod), err)
	}
	return nil
}

// stateOfPod describes why a pod does not run.
func stateOfPod(pod *corev1.Pod) string {
	for _, status := range pod.Status.ContainerStatuses {
		if waiting := status.State.Waiting; waiting != nil {
			return waiting.Reason + " " + waiting.Message
		}
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status != corev1.ConditionTrue {
			return condition.Reason + " " + condition.Message
		}
	}
	return string(pod.Status.Phase)
}

func shorten(text []byte) string {
	const most = 200
	return string(text[:min(len(text), most)])
}
