import Basics
import Processes

/// Prints a result. It stands in for the standard library's function in this module, which drops what cannot be
/// written.
package func print(_ text: String) { StandardOutput.write((text + "\n").utf8) }

/// Prints a result for people, in lines that the screen has room for.
package func show(_ text: String) { print(folded(text)) }

/// Prints a result: for programs as it is, for people in lines that the screen has room for.
/// - Parameters:
///   - text: the result for people; asked for only where it is printed.
///   - json: the same for programs.
///   - isJSON: whether it is for programs.
package func show(
  _ text: @autoclosure () throws -> String, or json: @autoclosure () throws -> JSONValue, if isJSON: Bool
) rethrows {
  if isJSON { print(try json().pretty) } else { show(try text()) }
}
