import Basics
import LeastSquares

/// The built-in laws by the names that `--form` takes.
public enum FormCatalog {
  /// All of them, those of one variable first.
  public static let all: [any ScalingForm] = [
    PowerLaw(), PowerLawOffset(), PowerLawOffset(decays: true), LinearCombination.linear,
    LinearCombination.quadratic, LinearCombination.nLogN, LinearCombination.constant, BrokenPowerLaw(),
    Chinchilla(), KaplanJoint(), AdditiveLaw(), DataConstrained(),
  ]

  /// The law of a name.
  ///
  /// - Throws: `FitError` that lists the names there are.
  public static func form(named name: String) throws(FitError) -> any ScalingForm {
    if let form = all.first(where: { $0.name == name }) { return form }
    throw FitError(
      .badOption,
      "there is no form '\(shown(name))'; there are \(choices(all.map(\.name) + ["auto"], near: name)), or use --formula"
    )
  }

  /// The candidates that `auto` compares for these variables: of three the forms that have them by name, if any has.
  public static func candidates(variables names: [String]) -> [any ScalingForm] {
    switch names.count {
    case 1:
      return [
        LinearCombination.constant, LinearCombination.linear, LinearCombination.nLogN,
        LinearCombination.quadratic, PowerLaw(), PowerLawOffset(),
      ]
    case 2: return [Chinchilla(), KaplanJoint()]
    default:
      let sized = all.filter { $0.variables.count == names.count }
      let named = sized.filter { Set($0.variables) == Set(names) }
      return named.isEmpty ? sized : named
    }
  }
}
