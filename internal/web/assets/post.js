// Sends the form with the id post-form at once. Without this script people press its button.
"use strict";

document.getElementById("post-form").submit();
