"""Settings of passwords, codes and allauth's forms. The settings import this, so nothing here may need models."""

# Length, no list of kinds of characters (NIST SP 800-63B, ASVS 6.2); they hold wherever a password is set.
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "stepper.accounts.password_rules.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "stepper.accounts.password_rules.MaximumLengthValidator"},
    {"NAME": "stepper.accounts.password_rules.CommonPasswordValidator"},
    {
        "NAME": "stepper.accounts.context_words.SimilarityValidator",
        "OPTIONS": {"user_attributes": ["name", "email"]},
    },
    {"NAME": "stepper.accounts.password_rules.PhoneValidator"},
    {"NAME": "stepper.accounts.context_words.ContextWordValidator"},
]

ACCOUNT_FORMS = {
    "signup": "stepper.accounts.forms.SignupForm",
    "login": "stepper.accounts.forms.LoginForm",
    "change_password": "stepper.accounts.forms.ChangePasswordForm",
    "reset_password_from_key": "stepper.accounts.forms.ResetPasswordKeyForm",
    "reset_password": "stepper.accounts.passwords.ResetPasswordForm",
}

MFA_ADAPTER = "stepper.accounts.factor_adapter.FactorAdapter"
# What an authenticator app shows beside the account.
MFA_TOTP_ISSUER = "StepperGO"
# Steps of 30 s before and after the present one: clocks differ, and typing takes time (RFC 6238, section 5.2).
MFA_TOTP_TOLERANCE = 1
