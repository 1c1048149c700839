using System.ComponentModel.DataAnnotations;

namespace StainGrid.Silo;

/// <summary>Checks options by their data annotations.</summary>
internal static class Validation
{
    /// <summary>Checks every option.</summary>
    /// <exception cref="ArgumentException">One or more are wrong; the message says what to set.</exception>
    public static void Check(object options)
    {
        var errors = new List<ValidationResult>();
        if (!Validator.TryValidateObject(options, new ValidationContext(options), errors, validateAllProperties: true))
            throw new ArgumentException(string.Join(" ", errors.Select(error => error.ErrorMessage)));
    }
}
