package compute

// Flavor is a size of server. Servers keep a copy of theirs.
type Flavor struct {
	ID          string
	Name        string
	Description string
	VCPUs       int
	MemoryMiB   int
	DiskGiB     int
	EphemeralGB int
	SwapMiB     int
	RxTxFactor  float64
	Disabled    bool
	Public      bool
	ExtraSpecs  map[string]string
}
