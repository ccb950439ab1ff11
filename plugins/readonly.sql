/*
 Grant temp users the readonly role.
 The host provides username as a named variable you can use.
*/
GRANT readonly TO {username};
