package v1alpha1

// NodePool confines a tenant's pods to nodes. The webhook adds its fields to every
// pod of the tenant at admission, and refuses pods that contradict them.
//
// +kubebuilder:object:generate=true
// +kubebuilder:validation:MinProperties=1
type NodePool struct {
	// nodeSelector are the labels of the nodes. A pod with another value for one
	// of them is refused. At most 8.
	//
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=8
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// tolerations are added to the pods' own. At most 8.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +listType=atomic
	// +optional
	Tolerations []Toleration `json:"tolerations,omitempty"`
}

// TolerationOperator relates the key of a toleration to its value.
//
// +kubebuilder:validation:Enum=Equal;Exists
type TolerationOperator string

const (
	// TolerationEqual matches taints with the key and the value. It is the default.
	TolerationEqual TolerationOperator = "Equal"
	// TolerationExists matches taints with the key, whatever their value is.
	TolerationExists TolerationOperator = "Exists"
)

// TaintEffect is an effect of a node's taint.
//
// +kubebuilder:validation:Enum=NoSchedule;PreferNoSchedule;NoExecute
type TaintEffect string

// Toleration is the toleration of a pod for a taint of nodes, as in a pod's
// spec.tolerations. It has a key: a tenant's pods never tolerate all taints.
//
// +kubebuilder:object:generate=true
// +kubebuilder:validation:XValidation:rule="!has(self.operator) || self.operator != 'Exists' || !has(self.value)",message="value must not be set with operator Exists"
type Toleration struct {
	// key is the key of the taint.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +required
	Key string `json:"key"`

	// operator is Equal (the default) or Exists.
	//
	// +optional
	Operator TolerationOperator `json:"operator,omitempty"`

	// value is the value of the taint, with operator Equal.
	//
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Value string `json:"value,omitempty"`

	// effect is the effect of the taint. Without it, the toleration is for all
	// effects.
	//
	// +optional
	Effect TaintEffect `json:"effect,omitempty"`
}

// Bounds of a tenant's nodePool.
const (
	maxNodeLabels  = 8
	maxTolerations = 8
)
