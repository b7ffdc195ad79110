import Basics
import Tensors

extension ProcessorChoices {
  /// The values as JSON, by name.
  public var json: JSONValue {
    .object(
      ProcessorChoice.all.map { .init(key: $0.name, value: .int(self[$0])) }
        + [.init(key: ProcessorChoices.roadName, value: .text(bfloat16Road?.rawValue))])
  }
}

extension ProcessorChoices.Resolved {
  /// The values and where they come from, as JSON; a file's place is left out.
  public var json: JSONValue {
    .object(["source": .string(source.recorded), "values": choices.json])
  }
}
