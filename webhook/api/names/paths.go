package names

// PodHandlerPath is the path of the webhook's server that API servers send
// admission reviews of pods to.
const PodHandlerPath = "/mutate-pods"
