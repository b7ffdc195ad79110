// A context names an instruction set and choices: who has tensors has the processor.
@_exported import Processor
