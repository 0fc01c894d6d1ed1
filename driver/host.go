package driver

// NUMACell is one NUMA cell of a host: processors and the memory near them.
type NUMACell struct {
	ID int
	// CPUs are the processors that guests share, by the host's numbers;
	// Dedicated are those that a guest may have for itself, which only drivers
	// that pin guests to processors report. No processor is in both.
	CPUs, Dedicated []int `json:",omitempty"`
	// Cores tells for processors, shared or dedicated, which core they are a
	// thread of: those with the same number are siblings. Processors that are
	// absent are cores of their own.
	Cores map[int]int `json:",omitempty"`
	// MemoryMiB is the memory in pages of the usual size.
	MemoryMiB int64
	// Pages counts the huge pages by their size in KiB.
	Pages map[int64]int64 `json:",omitempty"`
}

// PCIDevice is a device that the host's operator hands out to guests.
type PCIDevice struct {
	Address string // such as 0000:81:00.0
	// VendorID and ProductID are four hexadecimal digits each, such as 10de and
	// 1eb8.
	VendorID, ProductID string
	// Type is type-PCI, type-PF or type-VF; empty is type-PCI.
	Type string `json:",omitempty"`
	// NUMANode is the id of the cell that the device is near; nil: unknown.
	NUMANode *int `json:",omitempty"`
	// ResourceClass counts the device, such as CUSTOM_GPU; empty: one made of
	// vendor and product.
	ResourceClass string `json:",omitempty"`
	// Tags are further properties that a flavor's alias may ask for, such as
	// physical_network.
	Tags map[string]string `json:",omitempty"`
}
