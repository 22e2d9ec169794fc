package netpol

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"sigs.k8s.io/kube-network-policies/pkg/podinfo"

	"egress.scw/hack/local/netpol/attach"
)

// attachments are the pods of the node by address, as the CNI plugin reports
// them. The zero value contains no pods.
type attachments struct {
	mu        sync.RWMutex
	byAddress map[netip.Addr]attach.Attachment
}

var _ podinfo.IPResolver = (*attachments)(nil)

// LookupPod returns the key ("namespace/name") of the pod with that address.
func (a *attachments) LookupPod(ip string) (string, bool) {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return "", false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	found, ok := a.byAddress[address.Unmap()]
	return found.Namespace + "/" + found.Name, ok
}

func (a *attachments) add(attachment attach.Attachment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byAddress == nil {
		a.byAddress = map[netip.Addr]attach.Attachment{}
	}
	for _, address := range attachment.Addresses {
		a.byAddress[address] = attachment
	}
}

// remove removes the addresses of a sandbox, except those that another sandbox
// has got meanwhile.
func (a *attachments) remove(container string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for address, attachment := range a.byAddress {
		if attachment.Container == container {
			delete(a.byAddress, address)
		}
	}
}

// podTimeout bounds the wait for a pod that kubelet has already started: the
// watch of pods is behind by milliseconds on an idle machine.
const podTimeout = 30 * time.Second

// waitPod waits until the cache contains the attachment's pod itself, and not an
// earlier pod of the same name, whose labels may differ.
func waitPod(ctx context.Context, pods corelisters.PodLister, attachment attach.Attachment) error {
	ctx, cancel := context.WithTimeout(ctx, podTimeout)
	defer cancel()
	for {
		pod, err := pods.Pods(attachment.Namespace).Get(attachment.Name)
		if err == nil && isPod(pod, attachment.UID) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("pod %s/%s with UID %s is not in the API: %w", attachment.Namespace, attachment.Name, attachment.UID, context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// annotationConfigHash is kubelet's UID of a static pod, on the pod that
// represents it in the API.
const annotationConfigHash = "kubernetes.io/config.hash"

func isPod(pod *corev1.Pod, uid string) bool {
	return string(pod.UID) == uid || pod.Annotations[annotationConfigHash] == uid
}

// handler serves the CNI plugin.
func (a *attachments) handler(pods corelisters.PodLister) http.Handler {
	const path = attach.Path + "{container}"
	mux := http.NewServeMux()
	mux.HandleFunc("PUT "+path, func(w http.ResponseWriter, r *http.Request) {
		var attachment attach.Attachment
		if err := json.NewDecoder(r.Body).Decode(&attachment); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if attachment.Container != r.PathValue("container") || attachment.UID == "" || len(attachment.Addresses) == 0 {
			http.Error(w, fmt.Sprintf("container %q, uid %q, addresses %v: one is missing, or the path names another container",
				attachment.Container, attachment.UID, attachment.Addresses), http.StatusBadRequest)
			return
		}
		if err := waitPod(r.Context(), pods, attachment); err != nil {
			http.Error(w, err.Error(), http.StatusGatewayTimeout)
			return
		}
		a.add(attachment)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("DELETE "+path, func(w http.ResponseWriter, r *http.Request) {
		a.remove(r.PathValue("container"))
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// serve serves the CNI plugin on a Unix socket until the context ends. It
// replaces the socket of an enforcer that was killed.
func (a *attachments) serve(ctx context.Context, socket string, pods corelisters.PodLister) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("socket of the CNI plugin: %w", err)
	}
	server := &http.Server{
		Handler: a.handler(pods), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("socket of the CNI plugin: %w", err)
	}
	return nil
}
